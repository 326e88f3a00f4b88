"""Signals by name, also where the system lacks them."""

import signal

import pytest

from sluice.signals import available, find_signal


def test_signals_are_found_by_name() -> None:
    assert available("SIGINT", "SIGTERM") == (signal.SIGINT, signal.SIGTERM)
    assert find_signal("SIGINT") is signal.SIGINT


def test_missing_signal_is_replaced_by_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGUSR1", raising=False)
    assert available("SIGUSR1", "SIGTERM") == (signal.SIGTERM,)
    assert find_signal("SIGUSR1") is signal.SIGTERM
