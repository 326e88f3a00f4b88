"""Refusing sizes that do not fit into memory before they are allocated."""

import os
from pathlib import Path

from sluice.errors import UserError

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
GIB = 2**30


def total_memory() -> int:
    """The memory of this machine, or the limit of its container, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return machine


def require_memory(needed: int, what: str, instead: str) -> None:
    """Checks that an allocation can fit into memory.

    Args:
        needed: bytes.
        what: what needs them, as the subject of the message.
        instead: how to need less.

    Raises:
        UserError: if it is more than the memory of the machine.
    """
    total = total_memory()
    if needed > total:
        raise UserError(
            f"{what} would need {needed / GIB:,.0f} GiB of memory, this machine has {total / GIB:,.0f}: {instead}"
        )
