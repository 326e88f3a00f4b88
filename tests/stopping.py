"""Stops a run of this process in a chosen hook, by a signal or an exception."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sluice.callbacks.training_monitor import TrainingMonitor


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def ctrl_c_twice() -> None:
    ctrl_c()
    ctrl_c()


def stop_signal() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def keyboard_interrupt() -> None:
    """Ctrl-C without a signal handler."""
    raise KeyboardInterrupt


@contextmanager
def stopped(by: Callable[[], None], hook: str, time: int = 1) -> Iterator[None]:
    """Calls `by` at the given call of a callback hook; signal handlers are restored afterwards."""
    calls, before = itertools.count(1), getattr(TrainingMonitor, hook)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}

    def called(self: TrainingMonitor, *rest: Any, **named: Any) -> Any:
        value = before(self, *rest, **named)
        if next(calls) == time:
            by()
        return value

    try:
        with patch.object(TrainingMonitor, hook, called):
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
