"""A loss whose gradients were computed before the backward pass, which then need not be computed again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def attach_gradients(loss: Tensor, inputs: Sequence[Tensor], grads: Sequence[Tensor | None]) -> Tensor:
    """Returns the loss with a graph in which `inputs` get these gradients, times the gradient of the loss.

    Args:
        loss: a scalar.
        inputs: tensors that the loss depends on.
        grads: the gradient of each input, None for those without influence.
    """
    result: Tensor = _Known.apply(loss.detach(), tuple(grads), *inputs)
    return result


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, loss: Tensor, grads: tuple[Tensor | None, ...], *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*grads)  # type: ignore[arg-type]  # None is allowed
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(None if known is None else known * grad for known in ctx.saved_tensors))
