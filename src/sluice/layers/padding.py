"""Padding before or after the sequences of a batch."""

import torch
from torch import Tensor

from sluice.options import PADDINGS
from sluice.recurrent.devices import to_device


def move_padding(inputs: Tensor, lengths: Tensor, *, to: str) -> Tensor:
    """Moves the padding of every sequence from one side to the other.

    Everything else in Sluice has padding on the right; with it moved there, a batch padded on the left gives the same
    answer.

    Args:
        inputs: (B, T, ...), padded on the other side.
        lengths: (B,) int64 on the CPU.
        to: "left" or "right".

    Returns:
        (B, T, ...); what stood in the padding goes with it.

    Raises:
        ValueError: for a side that doesn't exist.
    """
    if to not in PADDINGS:
        raise ValueError(f"there is no padding {to!r}; there are {', '.join(PADDINGS)}")
    steps = inputs.shape[1]
    lengths = to_device(lengths, inputs.device).unsqueeze(1)
    shift = lengths if to == "left" else steps - lengths
    places = (torch.arange(steps, device=inputs.device) + shift) % steps
    return inputs[torch.arange(len(inputs), device=inputs.device).unsqueeze(1), places]
