"""Asynchronous copies from the host to a GPU, and the precisions of a CPU.

Lengths and the indices computed from them stay on the CPU until they are needed. A plain `.to("cuda")` then waits for
all work queued on the GPU. A copy from pinned memory is queued like any other work.
"""

import torch
from torch import Tensor

from sluice.torch_internals import onednn_supports


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor.to(device)`; non-blocking from the host to a CUDA device."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def lacks_autocast(device: torch.device) -> bool:
    """Returns whether autocast is on, but torch's recurrent kernels fail in its precision.

    On a CPU without AVX-512, oneDNN has no LSTM in bfloat16 or float16.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return not onednn_supports(torch.get_autocast_dtype("cpu"))
