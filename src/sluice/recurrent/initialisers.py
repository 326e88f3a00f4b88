"""Initialisers for fused gate matrices, applied to each gate separately."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sluice.plain import Plain


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


def uniform(weight: Tensor) -> object:
    """Fills the weight (H, ...) of one gate from U(−1/√H, 1/√H), as torch.nn's recurrent layers do."""
    bound = len(weight) ** -0.5
    return nn.init.uniform_(weight, -bound, bound)


xavier = nn.init.xavier_uniform_
orthogonal = nn.init.orthogonal_

RANDOM = ("normal_", "uniform_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_")
"""Functions and methods that fill a tensor in place with random numbers."""
INITIALISERS: dict[str, Callable[[Tensor], object]] = {
    "orthogonal": orthogonal,
    "xavier": xavier,
    "uniform": uniform,
}
"""Initialisers by the value of `recurrent_init`."""


class SkipInitialisation(TorchFunctionMode):
    """Context in which random initialisers leave weights as allocated: for networks whose weights are loaded.

    On the meta device, random operators would otherwise import torch's compiler.

    Example:
        >>> with torch.device("meta"), SkipInitialisation():
        ...     layer = nn.Linear(10**9, 10**9)
        >>> layer.weight.shape
        torch.Size([1000000000, 1000000000])
    """

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: Plain | None = None
    ) -> object:
        name, given = getattr(func, "__name__", ""), kwargs or {}
        if name in RANDOM:
            return args[0] if args else given["tensor"]
        if func is torch.linalg.qr:  # of orthogonal_
            return args[0], args[0]
        return func(*args, **given)
