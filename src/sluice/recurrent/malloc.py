"""Reuses freed memory between training steps."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
_NEVER, _OLD_GLIBC_MAXIMUM = 2**31 - 1, 2**25
"""The trim threshold, and the largest mmap threshold that glibc before 2.35 accepts."""

MIN_MEMORY = 15 * 2**30
"""Bytes of main memory required for `keep_freed_memory`."""


def keep_freed_memory() -> None:
    """Configures glibc to keep freed memory instead of returning it to the operating system.

    Every training step allocates the same large blocks. By default glibc returns each one, and the next step waits for
    the system to zero every page: up to half of an LSTM's time on a CPU. Keeping them costs memory (varying lengths
    cause fragmentation). Does nothing with less than MIN_MEMORY of main memory, without glibc, or where
    MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ is set.
    """
    if _memory() < MIN_MEMORY:
        return
    if {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & set(os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    if mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, _OLD_GLIBC_MAXIMUM):
        mallopt(_TRIM_THRESHOLD, _NEVER)


def _memory() -> int:
    """Bytes of main memory; 0 if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
