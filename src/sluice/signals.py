"""Signals by name; Windows has neither SIGUSR1, SIGUSR2, SIGHUP nor SIGKILL."""

import ctypes
import signal
from contextlib import suppress

_SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def available(*names: str) -> tuple[signal.Signals, ...]:
    """Returns the signals among these that the system has."""
    return tuple(found for name in names if (found := getattr(signal, name, None)) is not None)


def end_with_parent() -> None:
    """On Linux, kills this process when its parent dies."""
    with suppress(OSError, AttributeError, TypeError):  # on Windows CDLL(None) is a TypeError
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def find_signal(name: str) -> signal.Signals:
    """Returns a signal; SIGTERM if the system lacks it."""
    found: signal.Signals = getattr(signal, name, signal.SIGTERM)
    return found
