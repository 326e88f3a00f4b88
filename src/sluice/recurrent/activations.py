"""Activations by name, each with its derivative as a function of the output, so that backward needs no input."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Activation(NamedTuple):
    """An activation f and its derivative f'."""

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor] | None
    """f'(x) as a function of y = f(x); None where y does not determine it, and the cell runs under plain autograd."""


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh, lambda y: 1 - y * y),
    "relu": Activation(torch.relu, lambda y: (y > 0).to(y.dtype)),
    "sigmoid": Activation(torch.sigmoid, lambda y: y * (1 - y)),
    "softsign": Activation(F.softsign, lambda y: (1 - y.abs()) ** 2),
    "identity": Activation(lambda x: x, torch.ones_like),
    "elu": Activation(F.elu, lambda y: y.clamp(max=0) + 1),
    "leaky_relu": Activation(F.leaky_relu, lambda y: torch.ones_like(y).masked_fill(y <= 0, 0.01)),
    "hardtanh": Activation(F.hardtanh, lambda y: (y.abs() < 1).to(y.dtype)),
    "softplus": Activation(F.softplus, lambda y: -torch.expm1(-y)),
    "gelu": Activation(F.gelu, None),
    "silu": Activation(F.silu, None),
}


def find_activation(name: str) -> Activation:
    """Returns the activation of a name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: expected one of {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[name]
