"""Measuring a trained model: what is asked, what comes out, and the steps that all tasks share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.collate import Batch
from sluice.data.datamodule import Data
from sluice.data.samplers import BucketBatchSampler
from sluice.modules.base import Monitor, TaskModule
from sluice.plain import Plain, PlainMapping
from sluice.recipes.data_checks import check_unchanged
from sluice.recipes.saved_model import SavedModel

EVALUATION_FACTOR = 4
"""How many training batches are one of evaluation, where nothing is searched for."""
TEST_MONITOR = Monitor("test/loss", "min")
"""Of a LightningModule that is only tested."""


@dataclass(frozen=True)
class Table:
    """A file of labelled texts to evaluate on."""

    path: Path
    text_column: str
    label_column: str


@dataclass(frozen=True)
class Request:
    """What to measure."""

    split: str = "test"
    """"train", "val" or "test" of the task's own data."""
    table: Table | None = None
    """A file to take instead."""
    method: str = "plain"
    """How a language model reads: "plain", "cache" or "dynamic"."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of a trained model."""

    headline: str
    """What was measured on which data."""
    figures: Mapping[str, float]
    facts: PlainMapping = field(default_factory=dict)
    """What --json prints besides the figures: the checkpoint, the data, the settings."""
    digits: int = 4
    """Decimals shown of a figure."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Longer names of figures, for the table."""
    notes: tuple[str, ...] = ()
    """Lines after the figures."""
    confusion: tuple[tuple[str, ...], list[list[int]]] | None = None
    """Class names, and how many texts of each true class (row) were assigned to each class (column)."""


class EvaluatedSplit(NamedTuple):
    """The texts to measure on."""

    loader: DataLoader[Batch]
    size: int
    source: str
    """Where they come from."""
    left_out: int = 0
    """Texts of the corpus that are in no split of the model's run."""


def run_test(module: TaskModule, loader: DataLoader[Batch]) -> dict[str, float]:
    """The metrics of a test, without "test/" before their names."""
    quiet: Plain = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="auto", devices=1, use_distributed_sampler=False, **quiet)
    (metrics,) = trainer.test(module, loader, verbose=False)
    return {name.removeprefix("test/"): value for name, value in metrics.items()}


def evaluate_whole_data(model: SavedModel, data: Data, module: TaskModule, request: Request) -> Evaluation:
    """Figures on a split of data that must be those of the training, as generated sequences are.

    Raises:
        UserError: if the data have changed.
    """
    check_unchanged(model, data.identity)
    loaders = {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}
    figures = run_test(module, loaders[request.split]())
    headline = f"{model.path} on the {request.split} split, {data.corpus.description}"
    return Evaluation(headline, figures, {"checkpoint": str(model.path), "split": request.split}, digits=5)


def bucketed_loader(
    keys: NDArray[np.int64], collate: Callable[[list[int]], Batch], batch_size: int
) -> DataLoader[Batch]:
    """Batches of examples of like length.

    Args:
        keys: (N,) lengths.
        collate: from the positions of examples to a batch.
        batch_size: examples in a batch.
    """
    sampler = BucketBatchSampler(keys, batch_size=min(batch_size, len(keys)))
    return DataLoader(range(len(keys)), batch_sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]
