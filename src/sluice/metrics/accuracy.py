"""Accuracy metrics, exact over batches and ranks.

They replace torchmetrics' accuracy and exact match with `ignore_index`, which select entries with a boolean mask and
thus synchronise with the GPU in every batch.
"""

import torch
from torch import Tensor

from sluice.layers.output_loss import IGNORED
from sluice.metrics.sums import Sums


class _Fraction(Sums):
    """Σ right / Σ all."""

    right: Tensor
    all: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("right", "all")

    def compute(self) -> Tensor:
        """Returns the fraction, 0 without any targets."""
        return self.right / self.all.clamp_min(1)


class StepAccuracy(_Fraction):
    """Fraction of steps with a correct class; ignores steps without a target."""

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Adds sequences.

        Args:
            predicted: (B, T), predicted classes.
            targets: (B, T), true classes, or IGNORED.
            lengths: unused.
        """
        counted = targets != IGNORED
        self.right += ((predicted == targets) & counted).sum()
        self.all += counted.sum()


class ExactMatch(_Fraction):
    """Fraction of sequences with all steps correct; ignores steps without a target."""

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Adds sequences.

        Args:
            predicted: (B, T), predicted classes.
            targets: (B, T), true classes, or IGNORED.
            lengths: unused.
        """
        self.right += ((predicted == targets) | (targets == IGNORED)).all(1).sum()
        self.all += len(targets)


class DecidingFound(Sums):
    """Fraction of the pairs with deciding words in which the word with the largest contribution is one of them."""

    found: Tensor
    all: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("found", "all")

    def update(self, contributions: Tensor, deciding: Tensor) -> None:
        """Adds pairs.

        Args:
            contributions: (B, 2 T), contribution of each word, see `PairClassifierOutput.margin_contributions`.
            deciding: (2 B, T) bool, True for deciding words; first texts before second texts.
        """
        by_pair = torch.cat(deciding.chunk(2), 1)
        found = by_pair.gather(1, contributions.argmax(1, keepdim=True)).squeeze(1)
        self.found += found.sum()
        self.all += by_pair.any(1).sum()

    def compute(self) -> Tensor:
        """Returns the fraction, 0 without any deciding words."""
        return self.found / self.all.clamp_min(1)
