"""Inputs and losses for gradient norms: from the validation split of a run, or generated."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sluice.data.classification import ClassificationData
from sluice.data.collate import SequenceBatch, SequenceCollator, TextCollator
from sluice.data.language_modeling import LanguageData
from sluice.data.sequences import SequenceData, StreamData
from sluice.data.synthetic.temporal_order import SYMBOLS, TemporalOrder
from sluice.errors import UserError
from sluice.models.classifier import TextClassifier
from sluice.models.language import LanguageModel
from sluice.models.regressor import Regressor
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recipes.registry import recipe_of
from sluice.recurrent import OneHot, RecurrentStack
from sluice.runs.data_checks import check_unchanged
from sluice.runs.saved_model import SavedModel

MAX_STEPS = 200
"""Default length of sequences that can be truncated: running text, and sequences with a target at every step."""


class Probe(NamedTuple):
    """A recurrent stack, its inputs and a loss at the last step, the arguments of `gradient_norms`."""

    stack: RecurrentStack
    inputs: Tensor | OneHot
    """(B, T, D), or a OneHot of (B, T)."""
    lengths: Tensor
    """(B,) int64 on the CPU."""
    loss: Callable[[Tensor], Tensor]
    """Maps the top layer's final hidden states (B, H) to the sum of the B sequences' losses."""


def validation_probe(model: SavedModel, *, count: int, steps: int | None, data_dir: Path | None) -> Probe:
    """Evenly spaced sequences of a run's validation split, with the task's loss at the last step.

    The loss of a classifier is computed as if its pooling layer received the last step only.

    Args:
        model: the trained model.
        count: maximum number of sequences.
        steps: maximum length of sequences that can be truncated (running text, and sequences with a target at every
            step); None for MAX_STEPS.
        data_dir: folder of the corpora; None for SLUICE_DATA, or else the folder used in training.

    Raises:
        UserError: if the model's loss doesn't depend on the last state through a single unidirectional path, `steps` is
            given for sequences that can't be truncated, or the training data are missing or have changed.
    """
    kind = next((kind for kind in PROBES if isinstance(model.network, kind)), None)
    if kind is None:
        raise UserError(
            f"gradients of {model.path} cannot be measured: task={model.config.task.name} has no loss at the last step "
            "of a single recurrent core; choose a run of a classifier, language model, tagger or regression task"
        )
    _check_single_path(model)
    if steps is not None and kind in (TextClassifier, Regressor):
        raise UserError(f"--steps {steps} cannot be used: task={model.config.task.name} uses whole sequences, omit it")
    model, recipe = model.with_paths(data_dir), recipe_of(model.config)
    data = recipe.build_data(model.config, recipe.find_corpus(model.config, may_fall_back=False))
    check_unchanged(model, data.identity)
    parts = recipe.saved_parts(data)
    if any(parts[name] != model.parts[name] for name in parts if name in model.parts):
        raise UserError(f"{model.path} was not trained on {data.corpus.description}: set --data-dir")
    return PROBES[kind](model.network, data, count, steps or MAX_STEPS)


def _check_single_path(model: SavedModel) -> None:
    """Checks that gradients reach earlier states through the state of the next step only.

    Raises:
        UserError: if the model is bidirectional, segmented or residual.
    """
    core = model.config.model
    if core.bidirectional:
        raise UserError(
            f"{model.path} is bidirectional, but gradients are measured in unidirectional models only: "
            "train with model.bidirectional=false"
        )
    if getattr(model.config.task, "segment_length", None):
        raise UserError(f"{model.path} resets its state in every segment: train with task.segment_length=null")
    if core.residual:
        raise UserError(f"{model.path} has residual connections: train with model.residual=false")


def _of_classifier(network: TextClassifier, data: ClassificationData, count: int, steps: int) -> Probe:
    split = data.prepared.splits["val"]
    make = TextCollator(split.texts, split.labels, max_length=data.max_length, truncation=data.truncation)
    batch = make(_evenly_spaced(len(split.labels), count).tolist())

    def loss(top: Tensor) -> Tensor:
        mask = torch.ones(len(top), 1, dtype=torch.bool)
        pooled = network.pooling(top.unsqueeze(1), mask, top).vector
        return F.cross_entropy(network.output(pooled), batch.labels, reduction="sum")

    with torch.no_grad():
        return Probe(network.recurrent, network.embed(batch.ids), batch.lengths, loss)


def _of_language(network: LanguageModel, data: LanguageData, count: int, steps: int) -> Probe:
    ids = torch.from_numpy(np.asarray(data.prepared.splits["val"], dtype=np.int64))
    if len(ids) <= steps:
        raise UserError(f"the validation text has {len(ids)} tokens: choose --steps below that, not {steps}")
    starts = torch.from_numpy(_evenly_spaced(len(ids) - steps, count))
    windows = ids[starts.unsqueeze(1) + torch.arange(steps + 1)]

    def loss(top: Tensor) -> Tensor:
        return network.head.total_loss(top if network.projection is None else network.projection(top), windows[:, -1])

    with torch.no_grad():
        features = network.embedding(windows[:, :-1])
    return Probe(network.recurrent, features, torch.full((len(windows),), steps), loss)


def _of_labeller(network: SequenceLabeller, data: SequenceData | StreamData, count: int, steps: int) -> Probe:
    batch = _batch(data, count)
    lengths = batch.lengths.clamp_max(steps)
    rows = torch.arange(len(lengths))
    targets = batch.targets[rows, lengths - 1]

    def loss(top: Tensor) -> Tensor:
        predictions = network.output(top)
        if targets.is_floating_point():
            return F.mse_loss(predictions, targets, reduction="sum")
        return F.cross_entropy(predictions, targets, reduction="sum")

    inputs = batch.inputs[:, :steps]
    with torch.no_grad():
        features = inputs if network.embedding is None else network.embedding(inputs)
    return Probe(network.recurrent, features, lengths, loss)


def _of_regressor(network: Regressor, data: SequenceData | StreamData, count: int, steps: int) -> Probe:
    batch = _batch(data, count)

    def loss(top: Tensor) -> Tensor:
        return F.mse_loss(network.output(top).view_as(batch.targets), batch.targets, reduction="sum")

    return Probe(network.recurrent, batch.inputs, batch.lengths, loss)


PROBES: dict[type, Callable[..., Probe]] = {
    TextClassifier: _of_classifier,
    LanguageModel: _of_language,
    SequenceLabeller: _of_labeller,
    Regressor: _of_regressor,
}


def _batch(data: SequenceData | StreamData, count: int) -> SequenceBatch:
    split = data.split("val")
    return SequenceCollator(split)(_evenly_spaced(len(split.lengths), count).tolist())


def _evenly_spaced(size: int, count: int) -> NDArray[np.int64]:
    """Up to `count` evenly spaced indices below `size`."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


class LabelledSequences(NamedTuple):
    """Sequences of the temporal order problem."""

    ids: Tensor
    """(B, T) int64 symbol ids."""
    labels: Tensor
    """(B,) int64 class ids."""


def temporal_order_batch(steps: int, seed: int, count: int) -> LabelledSequences:
    """Generates sequences of the temporal order problem.

    The first X or Y is between a tenth and a fifth of the sequence, the second between a half and three fifths.

    Args:
        steps: length of every sequence.
        seed: seed of the generator.
        count: number of sequences.

    Raises:
        UserError: if there are too few steps.
    """
    first, second = (max(steps // 10, 1), max(steps // 5, 1)), (steps // 2, steps * 3 // 5)
    problem = TemporalOrder(lengths=(steps, steps), t1=first, t2=second, size=count, seed=seed)
    documents = list(islice(problem.documents(), count))
    ids = [[SYMBOLS.index(symbol) for symbol in document.text.split()] for document in documents]
    return LabelledSequences(torch.tensor(ids), torch.tensor([document.label for document in documents]))
