"""Cross-entropy over a large vocabulary, computed without materialising the logits of all rows of a batch.

On a CPU with a C compiler it is one kernel, see `native_loss`; otherwise torch operations on chunks of rows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from sluice.layers.native_loss import Gradients, computes_in_bfloat16, loss_kernel, row_losses
from sluice.recurrent.products import linear, weight_gradient
from sluice.torch_internals import keeps_graph

IGNORED = -100
"""Target of rows that losses and metrics ignore: the default of torch's `ignore_index`."""
CHUNK = 256
"""Rows per chunk."""


class OutputLoss(NamedTuple):
    """Result of `linear_cross_entropy` and `r_drop_cross_entropy`."""

    smoothed: Tensor
    """(), the summed cross-entropy with label smoothing, times the scale: the training loss."""
    plain: Tensor
    """(), the summed cross-entropy without label smoothing; has no gradient."""
    correct: Tensor
    """(), int64, the number of targets with the largest logit."""
    divergence: Tensor | None = None
    """(), the summed divergence of two predictions, see `r_drop_cross_entropy`; has no gradient."""


def linear_cross_entropy(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    excluded: Sequence[int] = (),
    grad_weight: Tensor | None = None,
    scale: float = 1.0,
) -> OutputLoss:
    """Computes the cross-entropy of softmax(W h + b) and the targets, summed over rows.

    With label smoothing ε (Szegedy et al. 2016, arXiv 1512.00567, section 7) the loss is, as in torch,
    (1 − ε) · (−log p_y) + ε · mean over v of (−log p_v).

    Excluded words have probability 0 and no gradient: softmax and mean are over the other words.

    Loss and gradients are computed together, for a few hundred rows at a time, in float32 also under autocast. Only the
    kernel of a processor with AVX512-BF16 rounds the factors of products under autocast to bfloat16.

    Args:
        features: (N, D), h.
        weight: (V, D), W.
        bias: (V,), b, or None.
        targets: (N,) int64; rows with target `IGNORED` have neither loss nor gradient.
        smoothing: ε, in [0, 1).
        excluded: ids of words that are never targets, such as padding.
        grad_weight: memory for the gradient of the weight, see `split_weight`.
        scale: factor of the loss. With a factor here, backward needs no further pass over the gradients.

    Raises:
        ValueError: if the smoothing lies outside [0, 1).
        IndexError: for a target outside the vocabulary, on a CPU.
    """
    check_smoothing(smoothing)
    bfloat16 = computes_in_bfloat16(loss_kernel(weight), weight)
    with torch.autocast(features.device.type, enabled=False):
        features = features.to(weight.dtype)
        if excluded:
            bias = exclude(weight.new_zeros(len(weight)) if bias is None else bias, excluded)
        arguments = (features, weight, bias, targets, smoothing, tuple(excluded), grad_weight, scale, bfloat16)
        return OutputLoss(*_LinearCrossEntropy.apply(*arguments))


def check_smoothing(smoothing: float) -> None:
    """Raises a ValueError if label smoothing lies outside [0, 1)."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must lie in [0, 1), got {smoothing}")


@torch.no_grad()
def cross_entropies(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Returns the cross-entropy of each row, (N,), 0 where the target is `IGNORED`; arguments as above."""
    library = loss_kernel(weight)
    if library:
        inputs = features.to(weight.dtype), weight, bias, targets
        bfloat16 = computes_in_bfloat16(library, weight)
        return row_losses(library, *inputs, ignored=IGNORED, bfloat16=bfloat16).plain
    losses = []
    for rows, row_targets in zip(features.split(CHUNK), targets.split(CHUNK), strict=True):
        logits = at_least_float(linear(rows, weight, bias))
        losses.append(F.cross_entropy(logits, row_targets, ignore_index=IGNORED, reduction="none"))
    return torch.cat(losses)


def split_weight(weight: Tensor, sizes: Sequence[int]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Splits a weight (V, D) into groups of rows, whose gradients need not be concatenated.

    Args:
        weight: (V, D).
        sizes: rows of each group.

    Returns:
        The groups, and for each of them memory for `linear_cross_entropy`'s `grad_weight`.
    """
    memory = torch.empty_like(weight, memory_format=torch.contiguous_format)
    groups = _Split.apply(weight, memory, sizes)
    return groups, tuple(part.data for part in memory.split(list(sizes)))  # `data`: a version counter of its own


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, weight: Tensor, memory: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
        ctx.save_for_backward(memory)
        return weight.split(list(sizes))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        if keeps_graph():  # the memory has the unscaled gradients, which a second pass needs
            return torch.cat(grads), None, None
        (memory,) = ctx.saved_tensors
        for part, grad in zip(memory.split([len(grad) for grad in grads]), grads, strict=True):
            if part.data_ptr() != grad.data_ptr():
                part.copy_(grad)
        return memory, None, None


def at_least_float(logits: Tensor) -> Tensor:
    """Converts logits of half precision to float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


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
        grad_weight: Tensor | None,
        scale: float,
        bfloat16: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs, library = (features, weight, bias), loss_kernel(weight)
        needed = [part if need else None for part, need in zip(inputs, ctx.needs_input_grad[:3], strict=True)]
        grads = Gradients(*(None if part is None else part.new_empty(part.shape) for part in needed))
        if grads.weight is not None and grad_weight is not None:
            grads = grads._replace(weight=grad_weight)
        if library:
            rows = row_losses(
                library,
                *inputs,
                targets,
                ignored=IGNORED,
                smoothing=smoothing,
                excluded=excluded,
                grads=grads,
                scale=scale,
                bfloat16=bfloat16,
            )
            smoothed, plain, correct = rows.smoothed.sum(), rows.plain.sum(), (rows.best == targets).sum()
        else:
            smoothed, plain, correct = _chunked_losses(inputs, targets, smoothing, excluded, grads)
        ctx.save_for_backward(*grads)
        ctx.scale = 1.0 if library else scale  # the kernel's gradients are scaled
        ctx.mark_non_differentiable(plain, correct)
        return smoothed * scale, plain, correct

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return (*scale_gradients(ctx.saved_tensors, grad, ctx.scale), *[None] * 6)


def scale_gradients(grads: Sequence[Tensor | None], grad: Tensor, scale: float) -> tuple[Tensor | None, ...]:
    """Multiplies gradients that were computed together with a loss, in place unless they are needed again.

    Args:
        grads: gradients of the loss without its scale; None for those not needed.
        grad: (), the gradient of the loss.
        scale: factor of the loss.

    Raises:
        RuntimeError: if the loss is differentiated twice.
    """
    if torch.is_grad_enabled():
        raise RuntimeError("the loss of an output layer cannot be differentiated twice (create_graph=True)")
    factor = grad * scale
    if factor.device.type != "cpu" or factor != 1:  # comparing would synchronise with a GPU
        multiply = torch.mul if keeps_graph() else Tensor.mul_
        return tuple(None if saved is None else multiply(saved, factor) for saved in grads)
    return tuple(None if saved is None else saved.clone() if keeps_graph() else saved for saved in grads)


def _chunked_losses(
    inputs: tuple[Tensor, Tensor, Tensor | None],
    targets: Tensor,
    smoothing: float,
    excluded: tuple[int, ...],
    grads: Gradients,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns smoothed loss, plain loss and correct targets, summed; overwrites the gradients of the former.

    Args:
        inputs: features, weight and bias.
        targets: (N,) int64.
        smoothing: ε.
        excluded: ids of the excluded words.
        grads: tensors for the gradients that are needed.
    """
    features, weight, bias = inputs
    for grad in grads:
        if grad is not None:
            grad.zero_()
    sums = [features.new_zeros(()) for _ in range(2)]
    correct = targets.new_zeros(())
    for start in range(0, len(features), CHUNK):
        rows, words = features[start : start + CHUNK], targets[start : start + CHUNK]
        logits = linear(rows, weight, bias)
        correct += (logits.argmax(-1) == words).sum()
        needed = any(grad is not None for grad in grads)
        smoothed, plain = losses_into_gradient(logits, words, smoothing, excluded, needed)
        sums[0] += smoothed
        sums[1] += plain
        if grads.features is not None:
            grads.features[start : start + CHUNK] = linear(logits, weight.t())
        if grads.weight is not None:
            grads.weight.add_(weight_gradient(logits, rows))
        if grads.bias is not None:
            grads.bias.add_(logits.sum(0))
    return sums[0], sums[1], correct


def losses_into_gradient(
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
        zero_columns(logits, excluded)
        over_all = (normaliser - logits.sum(-1, keepdim=True) / count).masked_fill(ignored, 0)
        smoothed = (1 - smoothing) * plain + smoothing * over_all.sum()
    if needs_gradient:
        counted = (~ignored).to(logits.dtype)
        logits.sub_(normaliser.masked_fill(ignored, torch.inf)).exp_()
        if smoothing:
            logits.sub_(counted * (smoothing / count))
            zero_columns(logits, excluded)
        logits.scatter_add_(1, targets, counted * (smoothing - 1))
    return smoothed, plain


def zero_columns(logits: Tensor, columns: Sequence[int]) -> None:
    """Overwrites columns of logits (R, V) by 0, without synchronising with a GPU."""
    for column in columns:
        logits.narrow(1, column, 1).zero_()
