"""Torch, the devices with their precisions, and the compiled kernels."""

import os
import shutil
from collections.abc import Iterator

import torch

from sluice.diagnostics.finding import OK, OPTIONAL, Finding
from sluice.memory import GIB, total_memory
from sluice.recurrent.fused.build import cache_folders
from sluice.recurrent.fused.native import COMPILERS, kernels
from sluice.torch_internals import has_onednn_linear, onednn_supports

FULL = ("32-true", "64-true")
"""Precisions of trainer.precision that every CPU and CUDA device has."""


def check_devices() -> Iterator[Finding]:
    """Yields torch and each device with its memory and the values of trainer.precision that it supports."""
    yield Finding("Devices", "torch", f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}")
    memory = total_memory() / GIB
    size = f", {memory:.0f} GiB" if memory < 2**20 else ""
    threads, cores = torch.get_num_threads(), os.cpu_count()
    used = f"{threads} thread{'s' * (threads > 1)} on {cores} core{'s' * (cores != 1)}{size}"
    yield Finding("Devices", "cpu", f"{used}: {_cpu_precisions()}")
    slow = None if has_onednn_linear() else "torch without oneDNN is slower on a CPU: install a release from PyPI"
    yield Finding("Devices", "oneDNN", "used" if slow is None else "not used", OPTIONAL if slow else OK, slow)
    yield from _gpus()


def _cpu_precisions() -> str:
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    slow = [name for name, dtype in half.items() if not onednn_supports(dtype)]
    precisions = ", ".join([*FULL, *(name for name in half if name not in slow)])
    reason = "oneDNN does not support it on this processor"
    return f"{precisions}; slow, since {reason}: {', '.join(slow)}" if slow else precisions


def _gpus() -> Iterator[Finding]:
    if torch.backends.mps.is_available():
        yield Finding("Devices", "mps", "Apple GPU: not used, since it lacks float64")
    if not torch.cuda.is_available():
        if torch.version.cuda is not None and shutil.which("nvidia-smi"):
            search = "torch finds no GPU: check CUDA_VISIBLE_DEVICES, and the driver with nvidia-smi"
        else:
            search = "on a machine with an NVIDIA GPU install a CUDA build of torch, see pytorch.org"
        yield Finding("Devices", "cuda", "no GPU", OPTIONAL, search)
        return
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        bfloat16 = found.major >= 8 or torch.version.hip is not None  # from Ampere on
        precisions = [*FULL, "16-mixed", *(["bf16-mixed"] if bfloat16 else [])]
        value = f"{found.name}, {found.total_memory / GIB:.0f} GiB, capability {found.major}.{found.minor}"
        advice = None if bfloat16 else "trainer=gpu uses bf16-mixed: set trainer.precision=16-mixed or 32-true"
        yield Finding(
            "Devices", f"cuda:{index}", f"{value}: {', '.join(precisions)}", OPTIONAL if advice else OK, advice
        )


def check_kernels() -> Iterator[Finding]:
    """Yields the C compiler and the state of the kernels, which are built if necessary."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        install = "install gcc or clang: without one, cells run on torch operations, several times slower on a CPU"
        yield Finding("Kernels", "compiler", "none found", OPTIONAL, install)
    else:
        yield Finding("Kernels", "compiler", compiler)
    if os.environ.get("SLUICE_NATIVE", "1") == "0":
        yield Finding("Kernels", "kernels", "switched off by SLUICE_NATIVE=0", OPTIONAL, "unset SLUICE_NATIVE")
        return
    for dtype in (torch.float32, torch.float64):
        works = kernels(torch.zeros(1, dtype=dtype)) is not None
        name, value = str(dtype).removeprefix("torch."), "compiled and loaded" if works else "not available"
        advice = None if works or compiler is None else "see the warning above for the compiler's message"
        yield Finding("Kernels", name, value, OK if works else OPTIONAL, advice)
    if (library := kernels(torch.zeros(1))) is not None:
        used = "used" if library.multiplies_bfloat16 else "not used: processor or compiler without AVX512-BF16"
        yield Finding("Kernels", "bfloat16", f"output layers on the CPU under bf16-mixed: {used}")
    folders = ", ".join(str(folder) for folder in cache_folders())
    private = None if folders else "set XDG_CACHE_HOME to a folder of your own: without one, every process compiles"
    yield Finding("Kernels", "cache", folders or "none", OK if folders else OPTIONAL, private)
