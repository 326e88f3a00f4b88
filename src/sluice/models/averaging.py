"""The mean of several states of the same network."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def average_states(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over the states, added up in float64; what isn't a float is taken from the last one.

    Args:
        states: state dicts of one network, say of the last k checkpoints.

    Raises:
        ValueError: if there is none, or names or shapes differ.
    """
    if not states:
        raise ValueError("there is nothing to average: give at least one state")
    last = states[-1]
    shapes = {name: tensor.shape for name, tensor in last.items()}
    if any({name: tensor.shape for name, tensor in state.items()} != shapes for state in states):
        raise ValueError("states of different networks cannot be averaged: their names or shapes differ")

    def mean(name: str) -> Tensor:
        if not last[name].is_floating_point():
            return last[name].clone()
        total = torch.stack([state[name].double() for state in states]).mean(0)
        return total.to(last[name].dtype)

    return {name: mean(name) for name in last}
