"""The only file that uses private functions of torch; each has a public replacement for releases that lack it.

They are looked up when they are first needed and not at import, so that this package can be imported with any release.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

Operator: TypeAlias = Callable[..., Tensor]

_SUPPORTED = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
"""Operators that return whether oneDNN supports a precision on this CPU."""


@functools.cache
def _onednn_operator() -> Operator | None:
    packet = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    operator: Operator | None = getattr(packet, "default", None)
    return operator


def has_onednn_linear() -> bool:
    """Returns whether oneDNN's linear layer can be called directly."""
    return torch.backends.mkldnn.is_available() and _onednn_operator() is not None


def onednn_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear by oneDNN, which doesn't depend on torch's choice of a backend.

    Args:
        inputs: (..., K), float32, on the CPU.
        weight: (N, K), or the result of `packed_weight`.
        bias: (N,) or None.

    Returns:
        (..., N).
    """
    operator = _onednn_operator()
    if operator is None:
        return F.linear(inputs, weight, bias)
    return operator(inputs, weight, bias, "none", [], "")


def packed_weight(weight: Tensor, rows: int) -> Tensor:
    """Returns a copy of a weight in oneDNN's layout, for `onednn_linear`; the weight itself if torch cannot pack it.

    Args:
        weight: (N, K), float32.
        rows: approximate number of rows of the inputs.
    """
    pack: Operator | None = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    return weight if pack is None or _onednn_operator() is None else pack(weight, rows)


def onednn_supports(dtype: torch.dtype) -> bool:
    """Returns whether oneDNN computes in this precision on this CPU; True for others, and if torch cannot tell."""
    supported: Callable[[], bool] | None = getattr(torch.ops.mkldnn, _SUPPORTED.get(dtype, ""), None)
    return supported is None or bool(supported())


def accepts_flat_cudnn_weights() -> bool:
    """Returns whether cuDNN's weights can be stored in one contiguous chunk of memory."""
    uses: Callable[[], bool] | None = getattr(torch, "_use_cudnn_rnn_flatten_weight", None)
    return uses is not None and hasattr(torch, "_cudnn_rnn_flatten_weight") and bool(uses())


def flatten_cudnn_weights(weights: Sequence[Tensor], *, input_size: int, hidden_size: int, mode: str) -> None:
    """Stores the weights of one cuDNN layer in one contiguous chunk, in place, so that cuDNN copies none.

    Args:
        weights: the weights and biases of a layer in one direction.
        input_size: D.
        hidden_size: H.
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
    """
    number = torch.backends.cudnn.rnn.get_cudnn_mode(mode)
    torch._cudnn_rnn_flatten_weight(list(weights), len(weights), input_size, number, hidden_size, 0, 1, False, False)


def forgo_gradient_scaling(optimizer: Optimizer) -> None:
    """Marks an optimizer that is used without gradient scaling, as under bf16-mixed.

    A fused optimizer can divide the gradients by their scale in its step. Lightning refuses to clip the gradients of
    one that does, also in bfloat16, which has no scale (Lightning issue 21435).
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]


def keeps_graph() -> bool:
    """Returns whether the running backward pass keeps its graph (retain_graph); True if torch cannot tell."""
    keeps: Callable[[], bool] | None = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return keeps is None or bool(keeps())


def entries_of_sparse(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the indices (dimensions, entries) and values of a sparse tensor, whose indices may be repeated.

    Without torch's private methods they are summed first, which takes longer.
    """
    if hasattr(tensor, "_indices") and hasattr(tensor, "_values"):
        return tensor._indices(), tensor._values()
    summed = tensor.coalesce()
    return summed.indices(), summed.values()
