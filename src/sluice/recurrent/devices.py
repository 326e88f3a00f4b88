"""Copies from the host to a GPU that do not wait for it.

Lengths, and every index computed from them, stay on the CPU until they are needed. A plain `.to("cuda")` then waits
until the GPU has finished all work queued before it. A copy from page-locked memory is queued like any other work.
"""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor.to(device)`; from the host to a CUDA device without waiting for the device."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
