"""Pooling of the outputs of all steps into one vector per sequence, ignoring padding."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sluice.options import POOLINGS
from sluice.recurrent.devices import to_device


class PoolingOutput(NamedTuple):
    """Result of a pooling."""

    vector: Tensor
    """(B, output_size)."""
    weights: Tensor | None = None
    """(B, T), the attention weights, zero beyond each length; None for other poolings."""


def make_pooling(kind: str, size: int) -> "Pooling":
    """Builds a pooling by name for outputs of `size` units.

    Raises:
        ValueError: for an unknown name.
    """
    if kind not in POOLINGS:
        raise ValueError(f"unknown pooling {kind!r}: expected one of {', '.join(POOLINGS)}")
    if kind == "attention":
        return AttentionPooling(size)
    kinds = {"last": LastPooling, "max": MaxPooling, "mean": MeanPooling}
    parts = [kinds[part](size) for part in kind.split("_")]
    return parts[0] if len(parts) == 1 else ConcatPooling(size, parts)


def step_mask(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """Returns a mask (B, T) bool, True within each sequence's length.

    Args:
        lengths: (B,) int64.
        steps: T.
        device: the device of the mask.
    """
    return torch.arange(steps, device=device) < to_device(lengths, device).unsqueeze(1)


class Pooling(nn.Module):
    """Base class: outputs (B, T, size) -> (B, output_size)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size

    def forward(self, outputs: Tensor, mask: Tensor, last: Tensor) -> PoolingOutput:
        """Pools the outputs.

        Args:
            outputs: (B, T, size), zero beyond each length.
            mask: (B, T) bool, True within each sequence's length.
            last: (B, size), the top layer's final hidden state, both directions concatenated.
        """
        raise NotImplementedError


class LastPooling(Pooling):
    """The state after the last step."""

    def forward(self, outputs: Tensor, mask: Tensor, last: Tensor) -> PoolingOutput:
        return PoolingOutput(last)


class MaxPooling(Pooling):
    """The largest value of each unit over the steps (Johnson & Zhang 2016, arXiv 1602.02373)."""

    def forward(self, outputs: Tensor, mask: Tensor, last: Tensor) -> PoolingOutput:
        inside = outputs.masked_fill(~mask.unsqueeze(-1), float("-inf"))
        # on a CPU `amax`, the operation of exported programs, takes twice the time, because of its backward
        return PoolingOutput(inside.max(1).values if self.training else inside.amax(1))


class MeanPooling(Pooling):
    """The mean of each unit over the steps."""

    def forward(self, outputs: Tensor, mask: Tensor, last: Tensor) -> PoolingOutput:
        return PoolingOutput(outputs.sum(1) / mask.sum(1, keepdim=True).to(outputs.dtype))


class ConcatPooling(Pooling):
    """Several poolings, concatenated; of last, max and mean in ULMFiT (Howard & Ruder 2018, section 3.3)."""

    def __init__(self, size: int, parts: Sequence[Pooling]) -> None:
        super().__init__(size)
        self.parts = nn.ModuleList(parts)
        self.output_size = len(parts) * size

    def forward(self, outputs: Tensor, mask: Tensor, last: Tensor) -> PoolingOutput:
        return PoolingOutput(torch.cat([part(outputs, mask, last).vector for part in self.parts], -1))


class AttentionPooling(Pooling):
    """A weighted mean with weights from a learned query (Yang et al. 2016, "Hierarchical attention networks", 2.2).

    u_t = tanh(W h_t + b), α = softmax(u_t · query), vector = Σ α_t h_t.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.hidden = nn.Linear(size, size)
        self.query = nn.Linear(size, 1, bias=False)

    def forward(self, outputs: Tensor, mask: Tensor, last: Tensor) -> PoolingOutput:
        scores = self.query(torch.tanh(self.hidden(outputs))).squeeze(-1)
        weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
        return PoolingOutput((weights.unsqueeze(1) @ outputs).squeeze(1), weights)
