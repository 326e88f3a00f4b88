"""keep_freed_memory configures glibc unless the environment does."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.recurrent.malloc import keep_freed_memory

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Constants of glibc's malloc.h."""
VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


@pytest.fixture
def mallopt_calls(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """The arguments passed to a mocked mallopt, without environment variables."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return pretend(monkeypatch, most=2**31 - 1)


def pretend(monkeypatch: pytest.MonkeyPatch, *, most: int) -> dict[int, int]:
    """Mocks mallopt, which, like glibc's, rejects mmap thresholds above `most`."""
    taken: dict[int, int] = {}

    def mallopt(parameter: int, value: int) -> int:
        if parameter == MMAP_THRESHOLD and value > most:
            return 0
        taken[parameter] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    return taken


def test_both_thresholds_are_raised(mallopt_calls: dict[int, int]) -> None:
    keep_freed_memory()
    assert set(mallopt_calls) == {TRIM_THRESHOLD, MMAP_THRESHOLD}
    assert all(2**29 <= value < 2**31 for value in mallopt_calls.values()), "mallopt takes an int"


@pytest.mark.usefixtures("mallopt_calls")
def test_an_older_glibc_gets_its_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.35 the maximum is 32 MiB. Setting only the trim threshold would map every block above 128 KiB."""
    taken = pretend(monkeypatch, most=2**25)
    keep_freed_memory()
    assert taken.get(MMAP_THRESHOLD) == 2**25 or TRIM_THRESHOLD not in taken


@pytest.mark.parametrize("name", VARIABLES)
def test_environment_variables_take_precedence(
    mallopt_calls: dict[int, int], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "131072")
    keep_freed_memory()
    assert mallopt_calls == {}


def no_library(_: Any) -> None:
    raise OSError("no such library")


def no_name(_: Any) -> None:
    raise TypeError("a library has a name on Windows")


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(), no_library, no_name])
def test_no_effect_without_mallopt(
    mallopt_calls: dict[int, int], monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_freed_memory()
    assert mallopt_calls == {}


def test_may_be_called_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    keep_freed_memory()
    keep_freed_memory()
