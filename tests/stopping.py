"""Stopping a run of this process at a chosen place, in the ways that runs are stopped."""

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


def raised() -> None:
    """As where Ctrl-C comes while nobody watches for it."""
    raise KeyboardInterrupt


@contextmanager
def stopped(by: Callable[[], None], hook: str, time: int = 1) -> Iterator[None]:
    """Does `by` when a hook of the callbacks has been called so many times; whose handlers signals have stays."""
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
