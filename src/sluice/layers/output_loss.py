"""Cross-entropy over a large vocabulary, computed in chunks without materialising all logits of a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sluice.recurrent.products import linear, weight_gradient

IGNORED = -100
"""Target of rows that losses and metrics ignore: the default of torch's `ignore_index`."""
CHUNK = 256
"""Rows per chunk."""


class OutputLoss(NamedTuple):
    """Result of `linear_cross_entropy`."""

    smoothed: Tensor
    """(), the summed cross-entropy with label smoothing, the training loss."""
    plain: Tensor
    """(), the summed cross-entropy without label smoothing; has no gradient."""
    correct: Tensor
    """(), int64, the number of targets with the largest logit."""


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    excluded: Sequence[int] = (),
) -> OutputLoss:
    """Computes the cross-entropy of softmax(W h + b) and the targets, summed over rows.

    With label smoothing ε (Szegedy et al. 2016, arXiv 1512.00567, section 7) the loss is, as in torch,
    (1 − ε) · (−log p_y) + ε · mean over v of (−log p_v).

    Excluded words have probability 0 and no gradient: softmax and mean are over the other words.

    Loss and gradients are computed together in chunks of a few hundred rows, whose logits are then freed.

    Args:
        features: (N, D), h.
        weight: (V, D), W.
        bias: (V,), b, or None.
        targets: (N,) int64; rows with target `IGNORED` have neither loss nor gradient.
        smoothing: ε, in [0, 1).
        excluded: ids of words that are never targets, such as padding.

    Raises:
        ValueError: if the smoothing lies outside [0, 1).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {smoothing}")
    with torch.autocast(features.device.type, enabled=False):
        features = features.to(weight.dtype)
        if excluded:
            bias = exclude(weight.new_zeros(len(weight)) if bias is None else bias, excluded)
        return OutputLoss(*_LinearCrossEntropy.apply(features, weight, bias, targets, smoothing, tuple(excluded)))


def exclude(bias: Tensor, words: Sequence[int]) -> Tensor:
    """Returns the bias (V,) of an output layer with −inf at `words`, which gives them probability 0.

    Assigning a number by index would synchronise with a GPU, filling a view doesn't.
    """
    masked = bias.clone() if words else bias
    for word in words:
        masked.narrow(0, word, 1).fill_(-torch.inf)
    return masked


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        excluded: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        needs = ctx.needs_input_grad[:3]
        inputs = zip((features, weight, bias), needs, strict=True)
        grads = [torch.zeros_like(tensor) if need and tensor is not None else None for tensor, need in inputs]
        sums = [features.new_zeros(()) for _ in range(2)]
        correct = targets.new_zeros(())
        for start in range(0, len(features), CHUNK):
            rows, words = features[start : start + CHUNK], targets[start : start + CHUNK]
            logits = linear(rows, weight, bias)
            correct += (logits.argmax(-1) == words).sum()
            smoothed, plain = _losses_into_gradient(logits, words, smoothing, excluded, any(needs))
            sums[0] += smoothed
            sums[1] += plain
            if grads[0] is not None:
                grads[0][start : start + CHUNK] = linear(logits, weight.t())
            if grads[1] is not None:
                grads[1] += weight_gradient(logits, rows)
            if grads[2] is not None:
                grads[2] += logits.sum(0)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(sums[1], correct)
        return sums[0], sums[1], correct

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("linear_cross_entropy cannot be differentiated twice (create_graph=True)")
        return (*(None if saved is None else saved * grad for saved in ctx.saved_tensors), None, None, None)


def _losses_into_gradient(
    logits: Tensor, words: Tensor, smoothing: float, excluded: Sequence[int], needs_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Computes both losses of a chunk and overwrites the logits by the gradient of the smoothed loss.

    d smoothed / d logits = p − (1 − ε) · onehot(y) − ε / V, where V counts the words that are not excluded, and 0 in
    ignored rows and at excluded words. Ignored rows are masked rather than removed, which would synchronise with a GPU
    to count them.

    Args:
        logits: (R, V), −inf at excluded words; overwritten if `needs_gradient`.
        words: (R,) int64, the targets.
        smoothing: ε.
        excluded: ids of the excluded words.
        needs_gradient: whether to compute the gradient.

    Returns:
        The summed losses with and without label smoothing.
    """
    targets, ignored = words.clamp_min(0).unsqueeze(1), (words == IGNORED).unsqueeze(1)
    at_words = logits.gather(1, targets)
    normaliser = logits.logsumexp(-1, keepdim=True)
    plain = (normaliser - at_words).masked_fill(ignored, 0).sum()
    smoothed, count = plain, logits.shape[1] - len(excluded)
    if smoothing:
        _zero_columns(logits, excluded)
        over_all = (normaliser - logits.sum(-1, keepdim=True) / count).masked_fill(ignored, 0)
        smoothed = (1 - smoothing) * plain + smoothing * over_all.sum()
    if needs_gradient:
        counted = (~ignored).to(logits.dtype)
        logits.sub_(normaliser.masked_fill(ignored, torch.inf)).exp_()
        if smoothing:
            logits.sub_(counted * (smoothing / count))
            _zero_columns(logits, excluded)
        logits.scatter_add_(1, targets, counted * (smoothing - 1))
    return smoothed, plain


def _zero_columns(logits: Tensor, columns: Sequence[int]) -> None:
    for column in columns:
        logits.narrow(1, column, 1).zero_()
