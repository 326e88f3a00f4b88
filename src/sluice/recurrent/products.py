"""Matrix products for time loops, which use the same weight at every step.

On a CPU in float32 they use oneDNN, which takes half the time of torch's default product on some processors and can
pack a large weight once instead of at every step.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from sluice.torch_internals import has_onednn_linear, onednn_linear, packed_weight

PACKING_THRESHOLD = {"contiguous": 2**22, "transposed": 2**24}
"""Size of a weight times number of products above which packing the weight pays off, measured."""


def has_onednn(tensor: Tensor) -> bool:
    """Returns whether oneDNN's products support this tensor; an exported program has plain products."""
    suits = not torch.compiler.is_exporting() and tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return suits and has_onednn_linear()


class Product:
    """x W^T + b for many x, without autograd (the scans have their own backward)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, num_calls: int, rows: int) -> None:
        """
        Args:
            weight: (N, K), may be a transposed view.
            bias: (N,) or None.
            num_calls: number of products to be computed.
            rows: approximate number of rows of each x.
        """
        self._weight, self._bias = weight, bias
        self._by_onednn = has_onednn(weight)
        least = PACKING_THRESHOLD["contiguous" if weight.is_contiguous() else "transposed"]
        if self._by_onednn and weight.numel() * num_calls >= least:
            self._weight = packed_weight(weight, rows)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(rows, K), contiguous -> (rows, N)."""
        if not self._by_onednn:
            return F.linear(inputs, self._weight, self._bias)
        return onednn_linear(inputs, self._weight, self._bias)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear with its gradients, using oneDNN where that is faster.

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


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return onednn_linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        needs_inputs, needs_weight, needs_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():  # double backward
            rows = grad.flatten(0, -2)
            return grad @ weight, rows.t() @ inputs.flatten(0, -2), rows.sum(0) if needs_bias else None
        grad = grad.contiguous()  # on slices and expanded tensors oneDNN is a hundred times slower
        rows = grad.flatten(0, -2)
        return (
            onednn_linear(grad, weight.t()) if needs_inputs else None,
            weight_gradient(rows, inputs.flatten(0, -2)) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )


@functools.cache
def _has_avx512() -> bool:
    """Returns whether torch uses AVX-512, with which oneDNN sums over many rows faster than torch's default product."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def weight_gradient(grads: Tensor, inputs: Tensor) -> Tensor:
    """Returns the gradient of a weight over all rows: (R, N), (R, K) -> (N, K)."""
    if _has_avx512() and has_onednn(grads) and has_onednn(inputs):
        return onednn_linear(inputs.t(), grads.t()).t()  # in this order oneDNN needs no transposed copies
    return grads.t() @ inputs
