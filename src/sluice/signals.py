"""Signals by name; Windows has neither SIGUSR1, SIGUSR2, SIGHUP nor SIGKILL."""

import signal


def available(*names: str) -> tuple[signal.Signals, ...]:
    """Returns the signals among these that the system has."""
    return tuple(found for name in names if (found := getattr(signal, name, None)) is not None)


def find_signal(name: str) -> signal.Signals:
    """Returns a signal; SIGTERM if the system lacks it."""
    found: signal.Signals = getattr(signal, name, signal.SIGTERM)
    return found
