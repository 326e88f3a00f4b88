"""Evaluating a trained model: request, result and the steps common to all tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from sluice.data.collate import Batch
from sluice.data.identity import Hashes
from sluice.data.samplers import BucketBatchSampler, evaluation_tokens
from sluice.distributed import accelerator_of
from sluice.errors import UserError
from sluice.modules.monitor import Monitor
from sluice.plain import Plain, PlainMapping
from sluice.runs.data_checks import check_unchanged
from sluice.runs.logs import quiet_lightning
from sluice.runs.saved_model import SavedModel

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from sluice.data.datamodule import CorpusData
    from sluice.modules.base import TaskModule
    from sluice.modules.classification import ClassificationModule

Confusion: TypeAlias = list[list[int]]
"""Counts by true class (outer) and predicted class (inner)."""
EVALUATION_FACTOR = 4
"""Ratio of evaluation to training batch size, without beam search."""
TEST_MONITOR = Monitor("test/loss", "min")
"""Monitor of a LightningModule that is only tested."""


@dataclass(frozen=True)
class Table:
    """A file of labelled texts for evaluation."""

    path: Path
    text_columns: Sequence[str] = ()
    """Columns of the texts; empty for those of the training data."""
    label_column: str | None = None
    """Column of the class; None for that of the training data."""


@dataclass(frozen=True)
class Request:
    """A request to evaluate a split or a file."""

    split: str = "test"
    """Split of the task's data: "train", "val" or "test"."""
    table: Table | None = None
    """File of labelled texts, instead of the split."""
    method: str = "plain"
    """Evaluation mode of a language model: "plain", "cache" or "dynamic"."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a trained model."""

    headline: str
    """The model and the data."""
    metrics: Mapping[str, float]
    details: PlainMapping = field(default_factory=dict)
    """Additional output of --json: checkpoint, data and settings."""
    digits: int = 4
    """Number of decimals to print."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Display names of the metrics."""
    notes: tuple[str, ...] = ()
    """Lines to print after the metrics."""
    confusion: tuple[tuple[str, ...], Confusion] | None = None
    """Class names and confusion matrix: rows are true classes, columns predicted classes."""


class EvaluatedSplit(NamedTuple):
    """A split prepared for evaluation."""

    loader: DataLoader[Batch]
    size: int
    source: str
    """Description of the data."""
    left_out: int = 0
    """Number of texts that belong to no split of the training run."""
    hashes: Hashes = np.zeros(0, np.uint64)
    """(N,) hashes of the examples; empty for those of a file."""


def _quiet_trainer() -> pl.Trainer:
    import pytorch_lightning as pl  # slow to import

    quiet_lightning()
    quiet: Plain = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator=accelerator_of("auto"), devices=1, use_distributed_sampler=False, **quiet)


def run_test(module: TaskModule, loader: DataLoader[Batch]) -> dict[str, float]:
    """Runs the test loop and returns its metrics, without the prefix "test/"."""
    (metrics,) = _quiet_trainer().test(module, loader, verbose=False)
    return {name.removeprefix("test/"): value for name, value in metrics.items()}


def evaluate_classifiers(
    models: Sequence[SavedModel], members: Sequence[tuple[ClassificationModule, EvaluatedSplit]], items: str
) -> Evaluation:
    """Evaluates a classifier, or the mean of the probabilities of several.

    Args:
        models: the models.
        members: their modules, with the examples as each of them reads them.
        items: what is classified: "texts", "pairs".

    Raises:
        UserError: if the models have different classes or examples.
    """
    module, chosen = members[0]
    paths, labels = [str(model.path) for model in models], models[0].labels
    if len(models) == 1:
        tested, confusion = run_test(module, chosen.loader), module.confusion_matrix()
    else:
        _check_members(models, [examples for _, examples in members])
        tested, confusion = _run_ensemble(members)
    details: Plain = {"checkpoint": paths[0] if len(paths) == 1 else paths, items: chosen.size, "from": chosen.source}
    return Evaluation(
        f"{', '.join(paths)} on {chosen.size:,} {items} from {chosen.source}",
        {name: value for name, value in tested.items() if not math.isnan(value)},
        {**details, "labels": labels, "confusion": confusion, "left_out": chosen.left_out},
        confusion=(labels, confusion),
    )


def _check_members(models: Sequence[SavedModel], examples: Sequence[EvaluatedSplit]) -> None:
    for model, own in zip(models, examples, strict=True):
        if model.labels != models[0].labels:
            raise UserError(f"{model.path} has other classes than {models[0].path}: evaluate them one by one")
        if not np.array_equal(own.hashes, examples[0].hashes):
            raise UserError(
                f"{model.path} and {models[0].path} have different texts in this split: evaluate them on a file with "
                "--file, or one by one"
            )


def _run_ensemble(members: Sequence[tuple[ClassificationModule, EvaluatedSplit]]) -> tuple[dict[str, float], Confusion]:
    """Returns the metrics and the confusion matrix of the mean of several classifiers' probabilities."""
    from sluice.modules.classification import scores_of

    total, labels = torch.zeros(()), torch.zeros(0, dtype=torch.int64)
    for module, examples in members:
        batches = cast(list[tuple[Tensor, Tensor, Tensor]], _quiet_trainer().predict(module, examples.loader))
        index, probabilities, true = (torch.cat(parts) for parts in zip(*batches, strict=True))
        order = index.argsort()
        total, labels = total + probabilities[order], true[order]
    return scores_of(total / len(members), labels)


def evaluate_whole_data(model: SavedModel, data: CorpusData, module: TaskModule, request: Request) -> Evaluation:
    """Evaluates a split of data that must be unchanged since training, such as generated sequences.

    Args:
        model: the model.
        data: its DataModule.
        module: its LightningModule.
        request: names the split.

    Raises:
        UserError: if the data have changed.
    """
    check_unchanged(model, data.identity)
    loaders = {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}
    metrics = run_test(module, loaders[request.split]())
    headline = f"{model.path} on the {request.split} split, {data.corpus.description}"
    return Evaluation(headline, metrics, {"checkpoint": str(model.path), "split": request.split}, digits=5)


def bucketed_loader(
    keys: NDArray[np.int64],
    collate: Callable[[list[int]], Batch],
    batch_size: int,
    *,
    max_tokens: int | None = None,
    scale: int = 1,
    factor: int = EVALUATION_FACTOR,
) -> DataLoader[Batch]:
    """Returns a DataLoader with batches of examples of similar length.

    Args:
        keys: (N,) int64 lengths.
        collate: function from indices of examples to a batch.
        batch_size: examples per training batch.
        max_tokens: maximum size of a training batch, in units of the keys; None for no limit.
        scale: units of the keys per token.
        factor: ratio of the evaluation batch size to the training batch size.
    """
    most = evaluation_tokens(keys, batch_size, max_tokens=max_tokens, scale=scale)
    sampler = BucketBatchSampler(keys, batch_size=min(factor * batch_size, len(keys)), max_tokens=most)
    return DataLoader(range(len(keys)), batch_sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]
