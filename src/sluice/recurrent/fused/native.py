"""The kernels of c/ as functions: the library is built once by the machine's own C compiler, see build.py.

Without a compiler, or with SLUICE_NATIVE=0, `kernels` gives None and torch's own operations do the work.
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
THREADS = "-fopenmp"
"""The OpenMP functions are not linked but found in the library torch has loaded: two pools would fight."""
REALS = {torch.float32: "float", torch.float64: "double"}
ACTIVATION_CODES = {
    name: code
    for code, name in enumerate(
        ("tanh", "relu", "sigmoid", "softsign", "identity", "elu", "leaky_relu", "hardtanh", "softplus")
    )
}
"""The enum of numbers.h."""


RUNS = ("lstm", "gru", "gru_before", "rnn")
"""What kernels.c has a forward and a backward function of."""


class Library:
    """The functions of kernels.c for one number type."""

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path), mode=os.RTLD_NOW)
        self.passes: dict[str, Callable[[int, int], None]] = {}
        for name in (f"{run}_{direction}" for run in RUNS for direction in ("forward", "backward")):
            function = getattr(loaded, name)
            function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None
            self.passes[name] = function
        self.scratch_size = loaded.scratch_size
        self.scratch_size.argtypes, self.scratch_size.restype = [ctypes.c_int64] * 3, ctypes.c_int64


def kernels(tensor: Tensor) -> Library | None:
    """The kernels for tensors like this one, None where there are none; the first call builds them."""
    if tensor.device.type != "cpu" or tensor.dtype not in REALS or os.environ.get("SLUICE_NATIVE", "1") == "0":
        return None
    return _library(REALS[tensor.dtype])


@functools.cache
def _library(real: str) -> Library | None:
    compiler = next((path for name in ("gcc", "cc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        log.info("no C compiler found: recurrent cells run on torch's own operations, somewhat slower")
        return None
    reason = ""
    for flags in ((*FLAGS, THREADS), FLAGS):
        try:
            library = _loaded(compiler, (*flags, f"-DREAL={real}"))
        except (OSError, AttributeError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or "").strip() or str(error)
            reason = said.splitlines()[0]
            continue
        if reason:
            log.info(f"the recurrent kernels run on one thread ({reason})")
        return library
    log.warning(f"the recurrent kernels could not be built ({reason}): torch's own operations do the work")
    return None


def _loaded(compiler: str, flags: tuple[str, ...]) -> Library:
    """The library; built anew where the one in the cache is whole but cannot be loaded, as one of another machine."""
    path = shared_library(compiler, flags)
    try:
        return Library(path)
    except (OSError, AttributeError):
        return Library(shared_library(compiler, flags, anew=True))


def address(tensor: Tensor | None) -> int | None:
    """Where a contiguous tensor begins."""
    if tensor is None:
        return None
    assert tensor.is_contiguous(), "kernels.c takes contiguous tensors"
    return tensor.data_ptr()


Fields: TypeAlias = list[tuple[str, type[ctypes.c_int64] | type[ctypes.c_void_p]]]


def pointers(*names: str) -> Fields:
    return [(name, ctypes.c_void_p) for name in names]


def counts(*names: str) -> Fields:
    return [(name, ctypes.c_int64) for name in names]


class TimeFields(ctypes.Structure):
    """Time of through_time.h."""

    _fields_ = (
        counts("steps", "batch", "hidden", "width")
        + pointers("alive", "weight", "bias", "mask", "hiddens", "grad_product", "grad_hidden")
        + counts("keeps_hidden")
        + pointers("scratch")
    )


class Norm(ctypes.Structure):
    """Norm of norm.h."""

    _fields_ = pointers("gain", "bias", "normal", "scale", "grad_gain", "grad_bias")


class LSTMFields(ctypes.Structure):
    """Lstm of lstm.h."""

    _fields_ = (
        counts("batch", "hidden", "coupled", "activation", "cell_activation")
        + pointers("projected", "gates", "hiddens", "cells", "peephole", "grad_outputs", "grad_cells")
        + pointers("grad_hidden", "grad_cell", "grad_projected", "grad_product")
        + [("norm", Norm), ("cell_norm", Norm)]
    )


class GRUFields(ctypes.Structure):
    """Gru of gru.h."""

    _fields_ = counts("batch", "hidden", "activation") + pointers(
        "projected", "gates", "behind", "hiddens", "grad_outputs", "grad_hidden", "grad_projected", "grad_product"
    )


class GRUBeforeFields(ctypes.Structure):
    """GruBefore of gru_reset_before.h."""

    _fields_ = counts("batch", "hidden", "activation") + pointers(
        "projected", "gates", "hiddens", "mask", "resets", "grad_outputs", "grad_hidden", "grad_projected"
    )


class RNNFields(ctypes.Structure):
    """Rnn of rnn.h."""

    _fields_ = (
        counts("batch", "hidden", "activation")
        + pointers("projected", "hiddens", "grad_outputs", "grad_hidden", "grad_sums", "grad_product")
        + [("norm", Norm)]
    )
