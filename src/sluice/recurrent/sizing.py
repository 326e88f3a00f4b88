"""Numbers of parameters, and the hidden size for a given number."""

from collections.abc import Callable

import torch
from torch import nn


def num_params_of(module: nn.Module) -> int:
    """Returns the number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def hidden_size_within(num_params: int, make: Callable[[int], nn.Module]) -> int:
    """Returns the largest hidden size with at most `num_params` parameters; 0 if there is none.

    Args:
        num_params: maximum number of parameters.
        make: builds a module of a given hidden size.
    """
    low, high = 0, 1
    while size_of(make, high) <= num_params:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size_of(make, middle) <= num_params else (low, middle)
    return low


def size_of(make: Callable[[int], nn.Module], units: int) -> int:
    """Returns the number of parameters of a module of a hidden size, without allocating them."""
    with torch.device("meta"):  # needs no memory and draws no random numbers
        return num_params_of(make(units))
