"""F1, precision and recall of labelled spans of tags, see `sluice.text.tag_spans`."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.metrics.sums import Sums
from sluice.text.tag_spans import BEGIN, END, INSIDE, ROLES, parse_tag


class SpanF1(Sums):
    """F1 of spans with correct type and boundaries, over all sentences and ranks (the metric of CoNLL-2003)."""

    found: Tensor
    there: Tensor
    right: Tensor
    roles: Tensor
    kinds: Tensor

    def __init__(self, tags: tuple[str, ...], scheme: str) -> None:
        """
        Args:
            tags: tags by class id.
            scheme: their scheme, one of `SCHEMES`.
        """
        super().__init__()
        parsed = [parse_tag(tag, scheme) for tag in tags]
        kinds = sorted({kind for _, kind in parsed})
        self.register_buffer("roles", torch.tensor([ROLES.index(role) for role, _ in parsed]), persistent=False)
        self.register_buffer("kinds", torch.tensor([kinds.index(kind) for _, kind in parsed]), persistent=False)
        self.add_sums("found", "there", "right")

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Adds sentences.

        Args:
            predicted: (B, T), predicted classes.
            targets: (B, T), true classes; negative ones are outside of spans.
            lengths: (B,) int64.
        """
        inside = torch.arange(predicted.shape[1], device=predicted.device) < lengths.to(predicted.device).unsqueeze(1)
        found, true = (self._spans(ids, inside) for ids in (predicted, targets))
        self.found += found.begins.sum()
        self.there += true.begins.sum()
        self.right += (found.ends & true.ends & (found.starts == true.starts) & (found.kinds == true.kinds)).sum()

    def _spans(self, ids: Tensor, inside: Tensor) -> "_SpanMarks":
        """Finds the spans as `spans_of`, in tensors.

        Args:
            ids: (B, T) classes.
            inside: (B, T) whether a step is within its sentence.
        """
        known = ids.clamp_min(0)
        roles, kinds = torch.where(inside & (ids >= 0), self.roles[known], 0), self.kinds[known]
        before, kinds_before = (F.pad(part[:, :-1], (1, 0)) for part in (roles, kinds))
        continues = ((before == BEGIN) | (before == INSIDE)) & ((roles == INSIDE) | (roles == END))
        continues &= kinds == kinds_before
        begins = (roles > 0) & ~continues
        ends = (roles > 0) & ~F.pad(continues[:, 1:], (0, 1))
        steps = torch.arange(ids.shape[1], device=ids.device)
        return _SpanMarks(begins, ends, torch.where(begins, steps, 0).cummax(1).values, kinds)

    def compute(self) -> Tensor:
        """Returns F1, 0 without true and predicted spans."""
        return 2 * self.right / (self.found + self.there).clamp_min(1)


class SpanPrecision(SpanF1):
    """Fraction of the predicted spans with correct type and boundaries."""

    def compute(self) -> Tensor:
        """Returns the precision, 0 without predicted spans."""
        return self.right / self.found.clamp_min(1)


class SpanRecall(SpanF1):
    """Fraction of the true spans that are predicted with correct type and boundaries."""

    def compute(self) -> Tensor:
        """Returns the recall, 0 without true spans."""
        return self.right / self.there.clamp_min(1)


class _SpanMarks(NamedTuple):
    """Spans of (B, T) tags, by step."""

    begins: Tensor
    """Whether a span begins."""
    ends: Tensor
    """Whether a span ends, at its last word."""
    starts: Tensor
    """First step of the latest span."""
    kinds: Tensor
    """Type of the span."""
