"""Averaging of state dicts."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def average_states(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of each tensor over the states, computed in float64.

    Tensors that are not floating point are copied from the last state.

    Args:
        states: state dicts of one network, for example of the last k checkpoints.

    Raises:
        ValueError: if `states` is empty, or names or shapes differ.
    """
    if not states:
        raise ValueError("there are no states to average: pass at least one")
    last = states[-1]
    shapes = {name: tensor.shape for name, tensor in last.items()}
    if any({name: tensor.shape for name, tensor in state.items()} != shapes for state in states):
        raise ValueError("cannot average states of different networks: their names or shapes differ")

    def mean(name: str) -> Tensor:
        if not last[name].is_floating_point():
            return last[name].clone()
        total = torch.stack([state[name].double() for state in states]).mean(0)
        return total.to(last[name].dtype)

    return {name: mean(name) for name in last}
