"""Initialisers for fused gate matrices, each gate drawn as if it stood alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gate_by_gate(weight: Tensor, gates: int, initialise: Callable[[Tensor], object]) -> None:
    """Fills a fused matrix in place, one gate after the other.

    A fused (4H, D) matrix has another fan-out than its four (H, D) parts, and an orthogonal (4H, H) matrix has no
    orthogonal part: only gate by gate do Xavier (Glorot & Bengio 2010) and orthogonal (Saxe et al. 2013) mean what
    they say.

    Args:
        weight: the gates stacked along the first dimension.
        gates: how many there are.
        initialise: fills one gate's matrix in place, e.g. torch.nn.init.orthogonal_.
    """
    with torch.no_grad():
        for gate in weight.chunk(gates):
            own = torch.empty(gate.shape, dtype=weight.dtype, device=weight.device)
            initialise(own)
            gate.copy_(own)


xavier = nn.init.xavier_uniform_
orthogonal = nn.init.orthogonal_

INITIALISERS: dict[str, Callable[[Tensor], object]] = {"orthogonal": orthogonal, "xavier": xavier}
"""By the name of `recurrent_init`."""
