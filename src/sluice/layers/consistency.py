"""Divergence between two predictions of the same words: the regulariser of R-Drop."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from sluice.layers.native_loss import computes_in_bfloat16, loss_kernel
from sluice.layers.output_loss import CHUNK, exclude, zero_columns
from sluice.recurrent.products import linear, weight_gradient


def symmetric_divergence(features: Tensor, weight: Tensor, bias: Tensor, *, excluded: Sequence[int] = ()) -> Tensor:
    """Returns KL(p ‖ q) + KL(q ‖ p) for two predictions of each of N words, summed over the words.

    p = softmax(W h + b) for the first N rows h of the features, q for the last N (Liang et al. 2021, "R-Drop:
    Regularized Dropout for Neural Networks", arXiv 2106.14448, equation 2, where the sum is halved).

    Divergence and gradients are computed together, for a few hundred words at a time, so that the probabilities of all
    words are never in memory. Under autocast, products of a processor with AVX512-BF16 round their factors to
    bfloat16; everything else is computed in float32.

    Args:
        features: (2 N, D), h.
        weight: (V, D), W.
        bias: (V,), b.
        excluded: ids of words with probability 0 in both predictions.

    Example:
        >>> features = torch.randn(1, 8).repeat(2, 1)
        >>> symmetric_divergence(features, torch.randn(50, 8), torch.zeros(50)).item()
        0.0
    """
    bfloat16 = computes_in_bfloat16(loss_kernel(weight), weight)
    with torch.autocast(features.device.type, enabled=False):
        arguments = (features.to(weight.dtype), weight, exclude(bias, excluded), tuple(excluded), bfloat16)
        return _SymmetricDivergence.apply(*arguments)


class _SymmetricDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, features: Tensor, weight: Tensor, bias: Tensor, excluded: tuple[int, ...], bfloat16: bool
    ) -> Tensor:
        count = len(features) // 2
        total = features.new_zeros(())
        of_features, of_weight, of_bias = (torch.zeros_like(part) for part in (features, weight, bias))
        rounded = weight.bfloat16() if bfloat16 else weight
        for start in range(0, count, CHUNK // 2):
            stop = min(start + CHUNK // 2, count)
            places = (slice(start, stop), slice(count + start, count + stop))
            rows = torch.cat([features[place] for place in places]).to(rounded.dtype)
            logits = linear(rows, rounded).to(weight.dtype).add_(bias)
            total += _into_gradient(logits, excluded)
            of_bias += logits.sum(0)
            grads = logits.to(rounded.dtype)
            of_rows = linear(grads, rounded.t()).to(weight.dtype)
            of_weight += weight_gradient(grads, rows)
            for place, part in zip(places, of_rows.chunk(2), strict=True):
                of_features[place] = part
        ctx.save_for_backward(of_features, of_weight, of_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("symmetric_divergence cannot be differentiated twice (create_graph=True)")
        return (*(saved * grad for saved in ctx.saved_tensors), None, None)


def _into_gradient(logits: Tensor, excluded: Sequence[int]) -> Tensor:
    """Returns the divergence of the two halves of the logits (2 R, V), which its gradient overwrites.

    d/dz_p = p · (log p − log q − KL(p ‖ q)) + p − q, and the same with p and q exchanged for q.
    """
    logits -= logits.logsumexp(-1, keepdim=True)
    log_p, log_q = logits.chunk(2)
    ratio = log_p - log_q
    zero_columns(ratio, excluded)  # -inf - -inf
    p, q = logits.exp().chunk(2)
    forward = (p * ratio).sum(-1, keepdim=True)
    backward = -(q * ratio).sum(-1, keepdim=True)
    difference = p - q
    torch.mul(p, ratio - forward, out=log_p).add_(difference)
    torch.mul(q, ratio + backward, out=log_q).add_(difference).neg_()
    return (forward + backward).sum()
