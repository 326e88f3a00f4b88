"""On each machine, local rank 0 downloads and prepares data while the other processes wait."""

import os
import time
from collections.abc import Callable

from sluice.errors import UserError

WAIT_SECONDS = 1800.0
"""Timeout for waiting for local rank 0."""


def is_local_rank_zero() -> bool:
    """Returns whether this process downloads and prepares data for its machine."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0) == 0


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Waits for local rank 0.

    Args:
        done: returns whether local rank 0 has finished.
        what: description of the awaited result, for the error message.

    Raises:
        UserError: if the wait times out.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise UserError(f"timed out after {WAIT_SECONDS:.0f} s waiting for {what}: check the log of local rank 0")
        time.sleep(0.1)
