"""Matrix products of a time loop: the same weight, step after step.

On a CPU in float32 they go through oneDNN, which on some processors takes half the time of torch's own products, and
can pack a large weight once instead of at every step.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

WORTH_PACKING = {"as it lies": 2**22, "transposed": 2**24}
"""Numbers of a weight times products with it from which on packing it first costs less than it saves, measured."""
_ONEDNN_LINEAR: Any = getattr(getattr(torch.ops.mkldnn, "_linear_pointwise", None), "default", None)


def has_onednn(tensor: Tensor) -> bool:
    """Whether oneDNN's products can take this tensor."""
    suits = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return suits and _ONEDNN_LINEAR is not None and torch.backends.mkldnn.is_available()


class Product:
    """x W^T + b for many x, without gradients (the scans write their own)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, uses: int, rows: int) -> None:
        """
        Args:
            weight: (N, K), a transposed view will do.
            bias: (N,) or None.
            uses: how often the product will be asked for.
            rows: about how many rows each x has.
        """
        self._weight, self._bias = weight, bias
        self._by_onednn = has_onednn(weight)
        least = WORTH_PACKING["as it lies" if weight.is_contiguous() else "transposed"]
        if self._by_onednn and weight.numel() * uses >= least:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(rows, K), contiguous -> (rows, N)."""
        if not self._by_onednn:
            return F.linear(inputs, self._weight, self._bias)
        return _times(inputs, self._weight, self._bias)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear with its gradients, through oneDNN where that is the faster way.

    Args:
        inputs: (..., K).
        weight: (N, K).
        bias: (N,) or None.

    Returns:
        (..., N).
    """
    if (
        inputs.dim() < 2
        or inputs.numel() == 0
        or not has_onednn(inputs)
        or weight.dtype != inputs.dtype
        or torch.is_autocast_enabled("cpu")
    ):
        return F.linear(inputs, weight, bias)
    return _Linear.apply(inputs, weight, bias)


def _times(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _ONEDNN_LINEAR(inputs, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _times(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        needs_inputs, needs_weight, needs_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a second derivative is asked for
            rows = grad.flatten(0, -2)
            return grad @ weight, rows.t() @ inputs.flatten(0, -2), rows.sum(0) if needs_bias else None
        grad = grad.contiguous()  # of a part of a tensor, or of a sum, oneDNN takes a hundred times as long
        rows = grad.flatten(0, -2)
        return (
            _times(grad, weight.t()) if needs_inputs else None,
            weight_gradient(rows, inputs.flatten(0, -2)) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )


def weight_gradient(grads: Tensor, inputs: Tensor) -> Tensor:
    """The gradient of a weight from all rows at once: (R, N), (R, K) -> (N, K)."""
    if has_onednn(grads) and has_onednn(inputs):
        return _times(inputs.t(), grads.t()).t()  # this way round, oneDNN reads both as they lie
    return grads.t() @ inputs
