"""Fractions of right answers, exact over batches and ranks.

Instead of torchmetrics' accuracy and exact match with `ignore_index`, which select the entries that count by a mask:
on a GPU each batch would wait to learn how many there are.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from sluice.layers.output_loss import IGNORED


class _Fraction(Metric):
    """right / all, summed."""

    right: Tensor
    all: Tensor
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "all"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """0 where nothing counts."""
        return self.right / self.all.clamp_min(1)


class StepAccuracy(_Fraction):
    """The fraction of steps whose class is right, those without a target left out."""

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Adds (B, T) predicted and true classes."""
        counted = targets != IGNORED
        self.right += ((predicted == targets) & counted).sum()
        self.all += counted.sum()


class ExactMatch(_Fraction):
    """The fraction of sequences of which every step is right, those without a target left out."""

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Adds (B, T) predicted and true classes."""
        self.right += ((predicted == targets) | (targets == IGNORED)).all(1).sum()
        self.all += len(targets)


class DecidingFound(Metric):
    """Of the pairs with deciding words, the fraction in which one of them moved the logit most."""

    found: Tensor
    all: Tensor
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("found", "all"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, moved: Tensor, deciding: Tensor) -> None:
        """Adds pairs: (B, 2 T) how far each word moved the logit, and (2 B, T) the deciding ones."""
        telling = torch.cat(deciding.chunk(2), 1)
        first_shown = telling.gather(1, moved.argmax(1, keepdim=True)).squeeze(1)
        self.found += first_shown.sum()
        self.all += telling.any(1).sum()

    def compute(self) -> Tensor:
        """0 where no pair has any."""
        return self.found / self.all.clamp_min(1)
