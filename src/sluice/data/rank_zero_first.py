"""Processes that share a machine: local rank 0 downloads and prepares, the others wait for what it makes."""

import os
import time
from collections.abc import Callable

from sluice.errors import UserError

WAIT_SECONDS = 1800.0
"""Longest wait for local rank 0."""


def is_local_rank_zero() -> bool:
    """Whether this process is the one of its machine that downloads and prepares."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0) == 0


def wait_until(there: Callable[[], bool], what: str) -> None:
    """Waits for what local rank 0 makes.

    Raises:
        UserError: if it isn't there in time.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not there():
        if time.monotonic() > deadline:
            raise UserError(f"{what} was not there after {WAIT_SECONDS:.0f} s: did the first process fail?")
        time.sleep(0.1)
