"""Accuracy of steps, exact match of sequences, and deciding words."""

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassExactMatch

from sluice.layers.output_loss import IGNORED
from sluice.metrics.accuracy import DecidingFound, ExactMatch, StepAccuracy


def answers(seed: int, *, ignored: float) -> tuple[Tensor, Tensor]:
    """(7, 3) predicted and true classes, some of the latter ignored."""
    draw = torch.Generator().manual_seed(seed)
    predicted, targets = torch.randint(2, (2, 7, 3), generator=draw)
    return predicted, targets.masked_fill(torch.rand(7, 3, generator=draw) < ignored, IGNORED)


@pytest.mark.parametrize("ignored", [0.0, 0.3, 1.0])
def test_step_accuracy_equals_torchmetrics(ignored: float) -> None:
    ours, theirs = StepAccuracy(), MulticlassAccuracy(2, average="micro", ignore_index=IGNORED)
    for seed in range(3):
        predicted, targets = answers(seed, ignored=ignored)
        ours.update(predicted, targets, torch.full((7,), 3))
        theirs.update(predicted, targets)
    assert float(ours.compute()) == pytest.approx(float(theirs.compute()))


def test_exact_match_equals_torchmetrics() -> None:
    ours, theirs = ExactMatch(), MulticlassExactMatch(2, multidim_average="global")
    for seed in range(5):
        predicted, targets = answers(seed, ignored=0)
        ours.update(predicted, targets, torch.full((7,), 3))
        theirs.update(predicted, targets)
    assert 0 < float(ours.compute()) == pytest.approx(float(theirs.compute()))


def test_exact_match_ignores_steps_without_a_target() -> None:
    metric = ExactMatch()
    metric.update(torch.tensor([[1, 2], [1, 2]]), torch.tensor([[1, IGNORED], [IGNORED, 0]]), torch.tensor([2, 2]))
    assert metric.compute() == 0.5


def deciding_found(contributions: list[list[float]], deciding: list[list[bool]]) -> Tensor:
    metric = DecidingFound()
    metric.update(torch.tensor(contributions), torch.tensor(deciding))
    return metric.compute()


def test_deciding_found_ignores_pairs_without_deciding_words() -> None:
    """Three pairs of texts of two words; the third pair has no deciding word."""
    contributions = [[0.1, 0.9, 0.0, 0.2], [3.0, 0.0, 2.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    first, second = [[False, True], [False, False], [False, False]], [[True, False], [True, False], [False, False]]
    assert deciding_found(contributions, first + second) == 0.5
    assert deciding_found(contributions[2:], [[False, False]] * 2) == 0
