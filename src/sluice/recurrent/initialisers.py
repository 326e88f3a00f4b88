"""Initialisers for fused gate matrices, applied to each gate separately."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gate_by_gate(weight: Tensor, gates: int, initialise: Callable[[Tensor], object]) -> None:
    """Initialises a fused matrix in place, one gate after the other.

    A fused (4H, D) matrix has a different fan-out than its four (H, D) parts, and the parts of an orthogonal (4H, H)
    matrix are not orthogonal, so Xavier (Glorot & Bengio 2010) and orthogonal (Saxe et al. 2013) apply gate by gate.

    Args:
        weight: the gates stacked along the first dimension.
        gates: number of gates.
        initialise: fills one gate's matrix in place, e.g. torch.nn.init.orthogonal_.
    """
    with torch.no_grad():
        for gate in weight.chunk(gates):
            values = torch.empty(gate.shape, dtype=weight.dtype, device=weight.device)
            initialise(values)
            gate.copy_(values)


xavier = nn.init.xavier_uniform_
orthogonal = nn.init.orthogonal_

INITIALISERS: dict[str, Callable[[Tensor], object]] = {"orthogonal": orthogonal, "xavier": xavier}
"""Initialisers by the value of `recurrent_init`."""
