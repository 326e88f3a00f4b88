"""The cost of a word among all words, without ever writing out the logits of a whole batch."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sluice.recurrent.products import linear, weight_gradient

IGNORED = -100
"""Target of a row that no loss and no metric counts: the default of torch's `ignore_index`."""
CHUNK = 256
"""Rows whose logits are there at the same time."""


class OutputLoss(NamedTuple):
    """What predicting N words cost."""

    smoothed: Tensor
    """(), the cross-entropy with smoothed labels, summed: what training minimises."""
    plain: Tensor
    """(), the cross-entropy without smoothing, summed; carries no gradient."""
    right: Tensor
    """(), int64: how many words had the greatest logit."""


def output_loss(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, *, smoothing: float = 0.0
) -> OutputLoss:
    """The cross-entropy of softmax(W h + b) against the targets, summed over rows.

    With label smoothing ε (Szegedy et al. 2016, arXiv 1512.00567, section 7) the target is 1 − ε on the word and ε / V
    on every word, as torch has it: (1 − ε) · (−log p_y) + ε · mean over v of (−log p_v).

    Logits are made, used for the loss and for its gradients, and forgotten, a few hundred rows at a time.

    Args:
        features: (N, D), h.
        weight: (V, D).
        bias: (V,) or None.
        targets: (N,) int64, the words; a row whose target is `IGNORED` costs nothing and has no gradient.
        smoothing: ε, in [0, 1).

    Raises:
        ValueError: if the smoothing lies outside [0, 1).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {smoothing}")
    with torch.autocast(features.device.type, enabled=False):
        smoothed, plain, right = _Chunked.apply(features.to(weight.dtype), weight, bias, targets, smoothing)
    return OutputLoss(smoothed, plain, right)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        needs = ctx.needs_input_grad[:3]
        given = zip((features, weight, bias), needs, strict=True)
        grads = [torch.zeros_like(tensor) if need and tensor is not None else None for tensor, need in given]
        sums = [features.new_zeros(()) for _ in range(2)]
        right = targets.new_zeros(())
        for start in range(0, len(features), CHUNK):
            rows, words = features[start : start + CHUNK], targets[start : start + CHUNK]
            logits = linear(rows, weight, bias)
            right += (logits.argmax(-1) == words).sum()
            smoothed, plain = _losses_into_gradient(logits, words, smoothing, any(needs))
            sums[0] += smoothed
            sums[1] += plain
            if grads[0] is not None:
                grads[0][start : start + CHUNK] = linear(logits, weight.t())
            if grads[1] is not None:
                grads[1] += weight_gradient(logits, rows)
            if grads[2] is not None:
                grads[2] += logits.sum(0)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(sums[1], right)
        return sums[0], sums[1], right

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the output loss cannot be differentiated twice (create_graph=True)")
        return (*(None if own is None else own * grad for own in ctx.saved_tensors), None, None)


def _losses_into_gradient(logits: Tensor, words: Tensor, smoothing: float, wanted: bool) -> tuple[Tensor, Tensor]:
    """Both losses of a chunk, summed; where a gradient is wanted, the logits (R, V) become that of the smoothed one.

    d smoothed / d logits = p − (1 − ε) · onehot(y) − ε / V, and 0 in a row without a target. Such rows are masked, not
    left out: to leave them out, a GPU would have to report how many there are, and the program would wait for it.
    """
    targets, ignored = words.clamp_min(0).unsqueeze(1), (words == IGNORED).unsqueeze(1)
    at_words = logits.gather(1, targets)
    normaliser = logits.logsumexp(-1, keepdim=True)
    plain = (normaliser - at_words).masked_fill(ignored, 0).sum()
    smoothed = plain
    if smoothing:
        over_all = (normaliser - logits.mean(-1, keepdim=True)).masked_fill(ignored, 0)
        smoothed = (1 - smoothing) * plain + smoothing * over_all.sum()
    if wanted:
        counted = (~ignored).to(logits.dtype)
        logits.sub_(normaliser.masked_fill(ignored, torch.inf)).exp_()
        if smoothing:
            logits.sub_(counted * (smoothing / logits.shape[1]))
        logits.scatter_add_(1, targets, counted * (smoothing - 1))
    return smoothed, plain
