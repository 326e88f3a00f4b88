"""Sequences through which gradients are followed, with the loss at the last step: a run's own, and generated ones."""

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
from sluice.recipes.data_checks import check_unchanged
from sluice.recipes.registry import recipe_of
from sluice.recipes.saved_model import SavedModel
from sluice.recurrent import OneHot, RecurrentStack

MOST_STEPS = 200
"""Of a running text or of answers step by step, where nothing else was asked for."""


class Probe(NamedTuple):
    """What gradients are followed through."""

    stack: RecurrentStack
    inputs: Tensor | OneHot
    """(B, T, D), or a OneHot of (B, T)."""
    lengths: Tensor
    """(B,) int64 on the CPU."""
    loss: Callable[[Tensor], Tensor]
    """From the top layer's last states (B, H) to the sum of the sequences' losses."""


def own_probe(model: SavedModel, *, count: int, steps: int | None, data_dir: Path | None) -> Probe:
    """Up to `count` sequences of the run's validation split, taken at even distances.

    A classifier's loss is that of its last state alone, as if the pooling saw nothing else: what other poolings take
    from earlier steps directly has no way back to be measured.

    Args:
        model: the trained model.
        count: sequences.
        steps: most steps of a sequence that can be cut, running text and answers step by step; None for MOST_STEPS.
        data_dir: where the corpora lie; None for SLUICE_DATA, or else where they lay at training.

    Raises:
        UserError: for a model whose loss doesn't come from its last state by one way back, steps where nothing can be
            cut, or texts that can't be had or aren't those of its training.
    """
    kind = next((kind for kind in PROBES if isinstance(model.network, kind)), None)
    if kind is None:
        raise UserError(
            f"gradients of {model.path} cannot be followed: task={model.config.task.name} has no loss at the last step "
            "of one recurrent core; give a run that classifies, writes or answers step by step"
        )
    _refuse_other_ways_back(model)
    if steps is not None and kind in (TextClassifier, Regressor):
        raise UserError(f"--steps {steps} cannot be used: task={model.config.task.name} is read whole, leave it out")
    model, recipe = model.with_paths(data_dir), recipe_of(model.config)
    data = recipe.build_data(model.config, recipe.find_corpus(model.config, may_fall_back=False))
    check_unchanged(model, data.identity)
    parts = recipe.saved_parts(data)
    if any(parts[name] != model.parts[name] for name in parts):
        raise UserError(f"{data.corpus.description} is not the text that {model.path} was trained on: set --data-dir")
    return PROBES[kind](model.network, data, count, steps or MOST_STEPS)


def _refuse_other_ways_back(model: SavedModel) -> None:
    core = model.config.model
    if core.bidirectional:
        raise UserError(
            f"{model.path} reads in both directions, and gradients are followed back in one: "
            "train with model.bidirectional=false"
        )
    if getattr(model.config.task, "segment_length", None):
        raise UserError(f"{model.path} begins anew in every segment: train with task.segment_length=null")
    if core.residual:
        raise UserError(f"{model.path} has ways round its layers: train with model.residual=false")


def _of_classifier(network: TextClassifier, data: ClassificationData, count: int, steps: int) -> Probe:
    split = data.prepared.splits["val"]
    make = TextCollator(split.texts, split.labels, max_length=data.max_length, truncation=data.truncation)
    batch = make(_spread(len(split.labels), count).tolist())

    def loss(top: Tensor) -> Tensor:
        seen = torch.ones(len(top), 1, dtype=torch.bool)
        pooled = network.pooling(top.unsqueeze(1), seen, top).vector
        return F.cross_entropy(network.output(pooled), batch.labels, reduction="sum")

    with torch.no_grad():
        return Probe(network.recurrent, network.embed(batch.ids), batch.lengths, loss)


def _of_language(network: LanguageModel, data: LanguageData, count: int, steps: int) -> Probe:
    ids = torch.from_numpy(np.asarray(data.prepared.splits["val"], dtype=np.int64))
    if len(ids) <= steps:
        raise UserError(f"the validation text has {len(ids)} tokens: choose --steps below that, not {steps}")
    starts = torch.from_numpy(_spread(len(ids) - steps, count))
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
        answers = network.output(top)
        if targets.is_floating_point():
            return F.mse_loss(answers, targets, reduction="sum")
        return F.cross_entropy(answers, targets, reduction="sum")

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
    return SequenceCollator(split)(_spread(len(split.lengths), count).tolist())


def _spread(size: int, count: int) -> NDArray[np.int64]:
    """Up to `count` places at even distances."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


class Sequences(NamedTuple):
    """Symbols in which the order of two, long before the end, decides."""

    ids: Tensor
    """(B, T) int64."""
    labels: Tensor
    """(B,) int64."""


def order_sequences(steps: int, seed: int, count: int) -> Sequences:
    """Sequences of `steps` symbols of the temporal order problem: X or Y after a tenth to a fifth, and after a half.

    Raises:
        UserError: if the steps are too few.
    """
    early, middle = (max(steps // 10, 1), max(steps // 5, 1)), (steps // 2, steps * 3 // 5)
    problem = TemporalOrder(lengths=(steps, steps), t1=early, t2=middle, size=count, seed=seed)
    documents = list(islice(problem.documents(), count))
    ids = [[SYMBOLS.index(symbol) for symbol in document.text.split()] for document in documents]
    return Sequences(torch.tensor(ids), torch.tensor([document.label for document in documents]))
