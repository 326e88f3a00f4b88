"""Keeping freed memory: malloc of glibc is configured unless the environment already does so."""

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
    """The accepted calls of mallopt, without settings in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return fake_mallopt(monkeypatch, most=2**31 - 1)


def fake_mallopt(monkeypatch: pytest.MonkeyPatch, *, most: int) -> dict[int, int]:
    """Replaces mallopt by one that, like glibc, refuses a mmap threshold above `most`."""
    taken: dict[int, int] = {}

    def mallopt(parameter: int, value: int) -> int:
        if parameter == MMAP_THRESHOLD and value > most:
            return 0
        taken[parameter] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    return taken


def test_large_blocks_use_the_heap_and_it_is_never_trimmed(mallopt_calls: dict[int, int]) -> None:
    keep_freed_memory()
    assert set(mallopt_calls) == {TRIM_THRESHOLD, MMAP_THRESHOLD}
    assert all(2**29 <= value < 2**31 for value in mallopt_calls.values()), "mallopt takes an int"


@pytest.mark.usefixtures("mallopt_calls")
def test_older_glibc_gets_its_maximum_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.35 the maximum is 32 MiB; with 128 KiB and the other threshold set, every block would be mapped."""
    taken = fake_mallopt(monkeypatch, most=2**25)
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
def test_missing_mallopt_is_ignored(
    mallopt_calls: dict[int, int], monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_freed_memory()
    assert mallopt_calls == {}


def test_real_mallopt_may_be_called_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    keep_freed_memory()
    keep_freed_memory()
