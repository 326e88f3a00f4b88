"""Cross-entropy over a large vocabulary by the C kernel of cross_entropy.h, which keeps no logits of all rows.

Gradients are computed together with the loss. It is used on CPUs with AVX and a C compiler.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sluice.recurrent.fused.native import Library, address, counts, kernels, pointers

PARALLEL_WORK = 2**18
"""Multiplications from which several threads pay off."""
PART_WORDS = 16
"""Fewest words per thread."""
VECTOR_BYTES = 32
"""Least size of a vector, in bytes, for which the kernel is faster than torch's products."""


class CrossEntropyFields(ctypes.Structure):
    """Struct CrossEntropy of cross_entropy.h."""

    _fields_ = (
        counts("rows", "inner", "words", "parts")
        + pointers("features", "weight", "bias", "targets", "excluded")
        + counts("ignored", "excluded_count", "bfloat16")
        + pointers("plain", "smoothed", "best", "grad_features", "grad_weight", "grad_bias", "scratch")
        + [("smoothing", ctypes.c_double), ("scale", ctypes.c_double)]
    )


class Gradients(NamedTuple):
    """Tensors that are overwritten by gradients, None where they are not needed."""

    features: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None

    def by_field(self) -> dict[str, Tensor]:
        """Those that are needed, by field of CrossEntropyFields."""
        return {f"grad_{name}": tensor for name, tensor in self._asdict().items() if tensor is not None}


class RowLosses(NamedTuple):
    """Results for each row, (N,)."""

    plain: Tensor
    """Cross-entropy, 0 for ignored rows."""
    smoothed: Tensor
    """Cross-entropy with label smoothing, 0 for ignored rows."""
    best: Tensor
    """int64, the first word with the largest logit."""


def loss_kernel(weight: Tensor) -> Library | None:
    """Returns the library with the kernel if it takes weights like this one and the processor has AVX."""
    library = None if torch.compiler.is_compiling() else kernels(weight)
    return library if library and library.vector_bytes >= VECTOR_BYTES else None


def computes_in_bfloat16(library: Library | None, weight: Tensor) -> bool:
    """Returns whether autocast to bfloat16 is on (`trainer.precision=bf16-mixed`) and makes this kernel faster."""
    if library is None or not library.multiplies_bfloat16 or weight.dtype != torch.float32:
        return False
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def row_losses(
    library: Library,
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    ignored: int,
    smoothing: float = 0.0,
    excluded: Sequence[int] = (),
    grads: Gradients | None = None,
    scale: float = 1.0,
    bfloat16: bool = False,
) -> RowLosses:
    """Computes the losses of all rows, and writes the gradients of scale · the sum of the smoothed losses.

    Args:
        library: the kernels.
        features: (N, D).
        weight: (V, D).
        bias: (V,), −inf at excluded words, or None.
        targets: (N,) int64.
        ignored: target of rows without loss.
        smoothing: ε of label smoothing.
        excluded: ids of words with probability 0.
        grads: contiguous tensors for the gradients.
        scale: factor of the gradients.
        bfloat16: round the factors of products of float32 to bfloat16; sums stay in float32.

    Raises:
        IndexError: for a target outside the vocabulary, as in torch.
        ValueError: if the sizes don't match, targets are not int64, or bfloat16 is used with float64.
    """
    _check(features, weight, bias, targets, bfloat16)
    made = RowLosses(*(like.new_empty(len(features)) for like in (features, features, targets)))
    named = {"features": features, "weight": weight, "bias": bias, "targets": targets}
    inputs = {name: tensor.contiguous() for name, tensor in named.items() if tensor is not None}
    written = (grads or Gradients()).by_field()
    excluded_ids = (ctypes.c_int64 * len(excluded))(*excluded)
    scalars = {"ignored": ignored, "excluded": ctypes.addressof(excluded_ids), "excluded_count": len(excluded)}
    factors = {"smoothing": smoothing, "scale": scale}
    if _run(library, inputs | written | made._asdict(), factors, bfloat16=bfloat16, **scalars):
        wrong = targets[(targets != ignored) & ((targets < 0) | (targets >= len(weight)))]
        raise IndexError(f"target {int(wrong[0])} is out of bounds for {len(weight)} words")
    return made


def _check(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, bfloat16: bool) -> None:
    """Checks what the kernel relies on when it reads memory."""
    if (features.dtype, features.device) != (weight.dtype, weight.device):
        kinds = " and ".join(f"{tensor.dtype} on {tensor.device}" for tensor in (features, weight))
        raise ValueError(f"features and weight must have the same dtype and device, got {kinds}")
    biases = weight.shape[:1] if bias is None else bias.shape
    sizes = (features.shape, weight.shape, biases, targets.shape)
    if sizes != ((len(targets), weight.shape[1]), weight.shape, (len(weight),), (len(targets),)):
        shown = ", ".join(str(tuple(size)) for size in sizes)
        raise ValueError(f"features, weight, bias and targets must be (N, D), (V, D), (V,) and (N,), got {shown}")
    if bfloat16 and features.dtype != torch.float32:
        raise ValueError(f"bfloat16 needs tensors of float32, got {features.dtype}")
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be int64, got {targets.dtype}")


def _run(library: Library, tensors: dict[str, Tensor], factors: dict[str, float], **scalars: int) -> int:
    """Calls the kernel; returns the number of invalid targets."""
    features, weight = tensors["features"], tensors["weight"]
    threads = torch.get_num_threads()  # applies torch's thread count in a new Python thread
    parallel = len(features) * weight.numel() >= PARALLEL_WORK
    fields = CrossEntropyFields(
        rows=len(features),
        inner=features.shape[1],
        words=len(weight),
        parts=max(1, min(threads, len(weight) // PART_WORDS)) if parallel else 1,
        **factors,
        **scalars,
        **{name: address(tensor) for name, tensor in tensors.items()},
    )
    scratch = features.new_empty(library.cross_entropy_scratch(ctypes.addressof(fields)))
    fields.scratch = address(scratch)
    return int(library.cross_entropy(ctypes.addressof(fields)))
