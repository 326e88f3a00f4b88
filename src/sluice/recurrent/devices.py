"""Asynchronous copies from the host to a GPU.

Lengths and the indices computed from them stay on the CPU until they are needed. A plain `.to("cuda")` then waits for
all work queued on the GPU. A copy from pinned memory is queued like any other work.
"""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor.to(device)`; non-blocking from the host to a CUDA device."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
