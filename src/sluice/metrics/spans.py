"""Labelled stretches of a sentence, as B- and I- tags mark them, and how many of them are found."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

BEGIN, INSIDE = "B-", "I-"


class Span(NamedTuple):
    """Words `start` to `end`, the latter not included, of a kind."""

    kind: str
    start: int
    end: int


def spans_of(tags: Sequence[str]) -> set[Span]:
    """The stretches of a sentence: B- begins one, I- of its kind goes on; an I- of another kind begins one."""
    found: set[Span] = set()
    kind, start = "", 0
    for place, tag in enumerate([*tags, ""]):
        goes_on = tag.startswith(INSIDE) and tag[len(INSIDE) :] == kind
        if not goes_on:
            if kind:
                found.add(Span(kind, start, place))
            kind, start = (tag[len(BEGIN) :], place) if tag.startswith((BEGIN, INSIDE)) else ("", place)
    return found


class SpanF1(Metric):
    """F1 of whole stretches, kind and both ends right, over all sentences and ranks (the measure of CoNLL-2003)."""

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
        """Adds sentences: (B, T) predicted and true classes and the lengths (B,)."""
        for row, length in enumerate(lengths.tolist()):
            found = spans_of([self.tags[place] for place in predicted[row, :length].tolist()])
            there = spans_of([self.tags[place] for place in targets[row, :length].tolist()])
            self.found += len(found)
            self.there += len(there)
            self.right += len(found & there)

    def compute(self) -> Tensor:
        """0 where there is nothing and nothing was found."""
        return 2 * self.right / (self.found + self.there).clamp_min(1)
