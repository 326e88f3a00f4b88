"""Labelled spans from B-/I- tags, and their F1."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

BEGIN, INSIDE = "B-", "I-"


class Span(NamedTuple):
    """Words `start` to `end` (exclusive) with a label."""

    kind: str
    start: int
    end: int


def spans_of(tags: Sequence[str]) -> set[Span]:
    """Returns the spans of a sentence. B- begins a span, I- continues it; I- with another label begins a new one."""
    found: set[Span] = set()
    kind, start = "", 0
    for index, tag in enumerate([*tags, ""]):
        continues = tag.startswith(INSIDE) and tag[len(INSIDE) :] == kind
        if not continues:
            if kind:
                found.add(Span(kind, start, index))
            kind, start = (tag[len(BEGIN) :], index) if tag.startswith((BEGIN, INSIDE)) else ("", index)
    return found


class SpanF1(Metric):
    """F1 of spans with correct label and boundaries, over all sentences and ranks (the metric of CoNLL-2003)."""

    found: Tensor
    there: Tensor
    right: Tensor
    full_state_update = False

    def __init__(self, tags: tuple[str, ...]) -> None:
        super().__init__()
        self.tags = tags
        for name in ("found", "there", "right"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Adds sentences.

        Args:
            predicted: (B, T), predicted classes.
            targets: (B, T), true classes.
            lengths: (B,) int64.
        """
        for row, length in enumerate(lengths.tolist()):
            found = spans_of([self.tags[tag] for tag in predicted[row, :length].tolist()])
            true = spans_of([self.tags[tag] for tag in targets[row, :length].tolist()])
            self.found += len(found)
            self.there += len(true)
            self.right += len(found & true)

    def compute(self) -> Tensor:
        """Returns F1, 0 without true and predicted spans."""
        return 2 * self.right / (self.found + self.there).clamp_min(1)
