"""Keeping the memory of one training step for the next."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
_NEVER, _MOST_OF_OLD = 2**31 - 1, 2**25
"""Of the one; and of the other the most that glibc before 2.35 takes."""

LEAST_MEMORY = 15 * 2**30
"""Bytes of the machine from which on memory is traded for speed."""


def keep_freed_memory() -> None:
    """Tells the C library to keep what is freed instead of giving it back to the operating system.

    Every training step needs the same big blocks. By default glibc returns each on release, and the next step pays for
    the system's zeroing of every page, up to half of an LSTM's time on a CPU. It costs memory (texts of unlike lengths
    leave gaps), so that machines with less than LEAST_MEMORY are left alone. Does nothing where there is no glibc or
    where MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ says what is wanted.
    """
    if _memory() < LEAST_MEMORY:
        return
    if {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & set(os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    if mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, _MOST_OF_OLD):
        mallopt(_TRIM_THRESHOLD, _NEVER)


def _memory() -> int:
    """Bytes of the machine; 0 where it doesn't say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
