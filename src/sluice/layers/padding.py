"""Left and right padding."""

import torch
from torch import Tensor

from sluice.options import PADDINGS
from sluice.recurrent.devices import to_device


def move_padding(inputs: Tensor, lengths: Tensor, *, to: str) -> Tensor:
    """Moves the padding of every sequence from one side to the other.

    Networks expect padding on the right; use this to convert batches padded on the left.

    Args:
        inputs: (B, T, ...), padded on the other side.
        lengths: (B,) int64 on the CPU.
        to: "left" or "right".

    Returns:
        (B, T, ...); values in the padding move along.

    Raises:
        ValueError: for an unknown side.
    """
    if to not in PADDINGS:
        raise ValueError(f"unknown padding {to!r}: expected one of {', '.join(PADDINGS)}")
    steps = inputs.shape[1]
    lengths = to_device(lengths, inputs.device).unsqueeze(1)
    shift = lengths if to == "left" else steps - lengths
    positions = (torch.arange(steps, device=inputs.device) + shift) % steps
    return inputs[torch.arange(len(inputs), device=inputs.device).unsqueeze(1), positions]
