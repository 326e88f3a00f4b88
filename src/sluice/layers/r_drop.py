"""Training loss of R-Drop: the cross-entropy of two predictions of each word, and their divergence."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sluice.layers.native_loss import Gradients, computes_in_bfloat16, loss_kernel
from sluice.layers.output_loss import (
    CHUNK,
    OutputLoss,
    check_smoothing,
    exclude,
    losses_into_gradient,
    scale_gradients,
    zero_columns,
)
from sluice.recurrent.products import linear, weight_gradient


def r_drop_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    *,
    alpha: float,
    smoothing: float = 0.0,
    excluded: Sequence[int] = (),
    scale: float = 1.0,
) -> OutputLoss:
    """Computes the loss of Liang et al. (2021), "R-Drop: Regularized Dropout for Neural Networks", arXiv 2106.14448.

    For predictions p = softmax(W h + b) and q of each word, the loss (equation 4) is the cross-entropy of both, with
    label smoothing, and α / 2 · (KL(p ‖ q) + KL(q ‖ p)), summed over the words.

    Loss and gradients are computed together, in the dtype of the weight also under autocast. Only on a processor with
    AVX512-BF16, products under autocast are computed in bfloat16.

    Args:
        features: (2 N, D), h: the second N rows are the second predictions of the same words, in the same order.
        weight: (V, D), W.
        bias: (V,), b.
        targets: (N,) int64.
        alpha: α.
        smoothing, excluded, scale: see `linear_cross_entropy`.

    Returns:
        The loss, and the sums over both predictions; `divergence` is KL(p ‖ q) + KL(q ‖ p), summed over the words.

    Raises:
        ValueError: if there aren't two features for each target, or for smoothing outside [0, 1).

    Example:
        >>> features = torch.randn(1, 8).repeat(2, 1)
        >>> loss = r_drop_cross_entropy(features, torch.randn(50, 8), torch.zeros(50), torch.tensor([4]), alpha=5)
        >>> loss.divergence
        tensor(0.)
    """
    check_smoothing(smoothing)
    if len(features) != 2 * len(targets):
        raise ValueError(f"R-Drop needs two predictions of each word, got {len(features)} of {len(targets)} words")
    options = alpha, smoothing, tuple(excluded), scale, computes_in_bfloat16(loss_kernel(weight), weight)
    with torch.autocast(features.device.type, enabled=False):
        return OutputLoss(*_RDrop.apply(features.to(weight.dtype), weight, exclude(bias, excluded), targets, *options))


class _RDrop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        alpha: float,
        smoothing: float,
        excluded: tuple[int, ...],
        scale: float,
        bfloat16: bool,
    ) -> tuple[Tensor, ...]:
        needed = zip((features, weight, bias), ctx.needs_input_grad[:3], strict=True)
        grads = Gradients(*(torch.zeros_like(part) if need else None for part, need in needed))
        factor = weight.bfloat16() if bfloat16 else weight
        sums = [features.new_zeros(()) for _ in range(3)]
        correct, count = targets.new_zeros(()), len(targets)
        for start in range(0, count, CHUNK // 2):
            stop = min(start + CHUNK // 2, count)
            halves = (slice(start, stop), slice(count + start, count + stop))
            words = targets[start:stop].repeat(2)
            rows = torch.cat([features[half] for half in halves]).to(factor.dtype)
            logits = linear(rows, factor).to(weight.dtype).add_(bias)
            correct += (logits.argmax(-1) == words).sum()
            of_divergence = logits.clone()
            divergence = divergence_into_gradient(of_divergence, excluded)
            smoothed, plain = losses_into_gradient(logits, words, smoothing, excluded, any(ctx.needs_input_grad))
            for total, part in zip(sums, (smoothed + alpha / 2 * divergence, plain, divergence), strict=True):
                total += part
            if any(ctx.needs_input_grad):
                _add_gradients(grads, logits.add_(of_divergence, alpha=alpha / 2), rows, factor, halves)
        ctx.save_for_backward(*grads)
        ctx.scale = scale
        ctx.mark_non_differentiable(sums[1], correct, sums[2])
        return sums[0] * scale, sums[1], correct, sums[2]

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return (*scale_gradients(ctx.saved_tensors, grad, ctx.scale), *[None] * 6)


def _add_gradients(
    grads: Gradients, of_logits: Tensor, rows: Tensor, factor: Tensor, halves: tuple[slice, slice]
) -> None:
    """Adds the gradients of a chunk.

    Args:
        grads: the gradients of all rows.
        of_logits: (2 R, V), gradient of the logits.
        rows: (2 R, D), features.
        factor: (V, D), the weight, in the dtype of `rows`.
        halves: the first and the second R of the features.
    """
    if grads.bias is not None:
        grads.bias.add_(of_logits.sum(0))
    of_logits = of_logits.to(factor.dtype)
    if grads.weight is not None:
        grads.weight.add_(weight_gradient(of_logits, rows))
    if grads.features is not None:
        for half, part in zip(halves, linear(of_logits, factor.t()).chunk(2), strict=True):
            grads.features[half] = part


def divergence_into_gradient(logits: Tensor, excluded: Sequence[int] = ()) -> Tensor:
    """Computes KL(p ‖ q) + KL(q ‖ p), summed over words, and overwrites the logits by its gradient.

    d / d logits of p = p · (log p − log q − KL(p ‖ q)) + p − q; the same with p and q exchanged for q.

    Args:
        logits: (2 R, V), those of p and then those of q, −inf at excluded words; overwritten.
        excluded: ids of the excluded words.
    """
    logits -= logits.logsumexp(-1, keepdim=True)
    log_p, log_q = logits.chunk(2)
    ratio = log_p - log_q
    zero_columns(ratio, excluded)  # -inf - -inf
    p, q = logits.exp().chunk(2)
    kl_pq, kl_qp = (p * ratio).sum(-1, keepdim=True), -(q * ratio).sum(-1, keepdim=True)
    difference = p - q
    torch.mul(p, ratio - kl_pq, out=log_p).add_(difference)
    torch.mul(q, ratio + kl_qp, out=log_q).add_(difference).neg_()
    return (kl_pq + kl_qp).sum()
