"""Python bindings of the C kernels in c/, which are compiled once on the user's machine (see build.py).

Without a C compiler, or with SLUICE_NATIVE=0, `kernels` returns None and the scans run on torch operations.
"""

import ctypes
import functools
import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from sluice.recurrent.fused.build import shared_library

log = logging.getLogger(__name__)
FLAGS = (
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp-simd",
    "-fPIC",
)
COMPILERS = ("gcc", "cc", "clang")
"""Names of the compilers that are tried."""
THREADS = "-fopenmp"
"""The OpenMP runtime is not linked: the one loaded by torch is used, since two thread pools would compete."""
REALS = {torch.float32: "float", torch.float64: "double"}
ACTIVATION_CODES = {
    name: code
    for code, name in enumerate(
        ("tanh", "relu", "sigmoid", "softsign", "identity", "elu", "leaky_relu", "hardtanh", "softplus")
    )
}
"""Values of the enum in elementwise.h."""


RUNS = ("lstm", "gru", "gru_before", "rnn")
"""Runs for which kernels.c defines a forward and a backward function."""


class Library:
    """The functions of kernels.c for one dtype."""

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path), mode=getattr(os, "RTLD_NOW", ctypes.DEFAULT_MODE))
        self.passes: dict[str, Callable[[int, int], None]] = {}
        for name in (f"{run}_{direction}" for run in RUNS for direction in ("forward", "backward")):
            function = getattr(loaded, name)
            function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None
            self.passes[name] = function
        self.scratch_size = loaded.scratch_size
        self.scratch_size.argtypes, self.scratch_size.restype = [ctypes.c_int64] * 3, ctypes.c_int64
        self.vector_bytes = ctypes.c_int64.in_dll(loaded, "vector_bytes").value
        self.multiplies_bfloat16 = bool(ctypes.c_int64.in_dll(loaded, "multiplies_bfloat16").value)
        self.cross_entropy, self.cross_entropy_scratch = loaded.cross_entropy, loaded.cross_entropy_scratch
        for function in (self.cross_entropy, self.cross_entropy_scratch):
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_int64
        self.attention_forward, self.attention_backward = loaded.attention_forward, loaded.attention_backward
        self.top_words = loaded.top_words
        for function in (self.attention_forward, self.attention_backward, self.top_words):
            function.argtypes, function.restype = [ctypes.c_void_p], None


def kernels(tensor: Tensor) -> Library | None:
    """Returns the kernels for tensors of this device and dtype, None if unavailable; the first call builds them."""
    if tensor.device.type != "cpu" or tensor.dtype not in REALS or os.environ.get("SLUICE_NATIVE", "1") == "0":
        return None
    return _library(REALS[tensor.dtype])


@functools.cache
def _library(real: str) -> Library | None:
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        log.info("no C compiler found: recurrent cells run on torch operations, which is slower")
        return None
    reason = ""
    for flags in ((*FLAGS, THREADS), FLAGS):
        try:
            library = _loaded(compiler, (*flags, f"-DREAL={real}"))
        except (OSError, AttributeError, subprocess.SubprocessError) as error:
            message = str(getattr(error, "stderr", "") or "").strip() or str(error)
            reason = message.splitlines()[0]
            continue
        if reason:
            log.info(f"the recurrent kernels run on one thread ({reason})")
        return library
    log.warning(f"could not build the recurrent kernels ({reason}): recurrent cells run on torch operations")
    return None


def _loaded(compiler: str, flags: tuple[str, ...]) -> Library:
    """Loads the library; rebuilds it if the cached one cannot be loaded, e.g. because another machine built it."""
    path = shared_library(compiler, flags)
    try:
        return Library(path)
    except (OSError, AttributeError):
        return Library(shared_library(compiler, flags, rebuild=True))


def address(tensor: Tensor | None) -> int | None:
    """Returns the data pointer of a contiguous tensor."""
    if tensor is None:
        return None
    assert tensor.is_contiguous(), "kernels.c takes contiguous tensors"
    return tensor.data_ptr()


Fields: TypeAlias = list[tuple[str, type[ctypes.c_int64] | type[ctypes.c_void_p]]]


def pointers(*names: str) -> Fields:
    """Pointer fields of a struct."""
    return [(name, ctypes.c_void_p) for name in names]


def counts(*names: str) -> Fields:
    """Integer fields of a struct."""
    return [(name, ctypes.c_int64) for name in names]


class TimeFields(ctypes.Structure):
    """Struct Time of time_loop.h."""

    _fields_ = (
        counts("steps", "batch", "hidden", "width", "first", "end")
        + pointers("active", "weight", "bias", "mask", "hiddens", "grad_product", "grad_hidden")
        + counts("hidden_skip")
        + pointers("scratch")
    )
    memory: tuple[object, ...] = ()
    """Objects that the pointers refer to."""


class Norm(ctypes.Structure):
    """Struct Norm of norm.h."""

    _fields_ = pointers("gain", "bias", "normal", "scale", "grad_gain", "grad_bias")


class LSTMFields(ctypes.Structure):
    """Struct Lstm of lstm.h."""

    _fields_ = (
        counts("batch", "hidden", "coupled", "activation", "cell_activation")
        + pointers("projected", "gates", "hiddens", "cells", "peephole", "grad_outputs", "grad_cells")
        + pointers("grad_hidden", "grad_cell", "grad_projected", "grad_product", "grad_peephole")
        + [("norm", Norm), ("cell_norm", Norm)]
    )


class GRUFields(ctypes.Structure):
    """Struct Gru of gru.h."""

    _fields_ = counts("batch", "hidden", "activation") + pointers(
        "projected", "gates", "new_product", "hiddens", "grad_outputs", "grad_hidden", "grad_projected", "grad_product"
    )


class GRUBeforeFields(ctypes.Structure):
    """Struct GruBefore of gru_reset_before.h."""

    _fields_ = counts("batch", "hidden", "activation") + pointers(
        "projected", "gates", "hiddens", "mask", "reset_hidden", "grad_outputs", "grad_hidden", "grad_projected"
    )


class RNNFields(ctypes.Structure):
    """Struct Rnn of rnn.h."""

    _fields_ = (
        counts("batch", "hidden", "activation")
        + pointers("projected", "hiddens", "grad_outputs", "grad_hidden", "grad_sums", "grad_product")
        + [("norm", Norm)]
    )
