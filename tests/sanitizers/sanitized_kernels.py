"""pytest plugin: compiles the C kernels with a sanitizer, and every call of them uses three threads.

Environment: SANITIZED_SOURCE, the path of kernels.c; SANITIZER_FLAGS, flags of clang.
"""

import os
from pathlib import Path

import torch

from sluice.recurrent.fused import build, native

THREADS = 3

build.SOURCE = Path(os.environ["SANITIZED_SOURCE"])
native.COMPILERS = ("clang",)
native.FLAGS = (
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fPIC",
    "-fopenmp-simd",
    *os.environ["SANITIZER_FLAGS"].split(),
)
torch.set_num_threads(THREADS)
torch.set_num_threads = lambda threads: None  # test modules ask for one thread
