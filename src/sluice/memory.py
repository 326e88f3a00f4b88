"""Checks that data fit into memory before they are allocated."""

import os
import sys
from pathlib import Path

from sluice.errors import UserError

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
GIB = 2**30


def total_memory() -> int:
    """Returns the memory of this machine in bytes, or the limit of its container; sys.maxsize if unknown."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # unknown, as on Windows
        return sys.maxsize
    try:
        return min(machine, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return machine


def require_memory(needed: int, what: str, instead: str) -> None:
    """Checks that an allocation can fit into memory.

    Args:
        needed: size in bytes.
        what: description of the data, the subject of the message.
        instead: how to reduce the size, for the message.

    Raises:
        UserError: if the size exceeds the memory of the machine.
    """
    total = total_memory()
    if needed > total:
        raise UserError(
            f"{what} would need {needed / GIB:,.0f} GiB of memory, but this machine has {total / GIB:,.0f}: {instead}"
        )
