"""Keeping freed memory: glibc is told so once, unless the person at the keyboard has told it otherwise."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.recurrent.malloc import keep_freed_memory

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""As glibc's malloc.h numbers them."""
VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """What mallopt takes, on a machine that has it and whose environment says nothing."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return pretend(monkeypatch, most=2**31 - 1)


def pretend(monkeypatch: pytest.MonkeyPatch, *, most: int) -> dict[int, int]:
    """A mallopt that refuses, as glibc does, to map only blocks larger than `most`."""
    taken: dict[int, int] = {}

    def mallopt(parameter: int, value: int) -> int:
        if parameter == MMAP_THRESHOLD and value > most:
            return 0
        taken[parameter] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    return taken


def test_big_blocks_come_from_the_heap_and_the_heap_is_never_given_back(told: dict[int, int]) -> None:
    keep_freed_memory()
    assert set(told) == {TRIM_THRESHOLD, MMAP_THRESHOLD}
    assert all(2**29 <= value < 2**31 for value in told.values()), "mallopt takes an int"


@pytest.mark.usefixtures("told")
def test_an_older_glibc_is_told_the_most_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 2.35 it takes no more than 32 MiB; left at 128 KiB, with the other threshold set, it maps every block."""
    taken = pretend(monkeypatch, most=2**25)
    keep_freed_memory()
    assert taken.get(MMAP_THRESHOLD) == 2**25 or TRIM_THRESHOLD not in taken


@pytest.mark.parametrize("name", VARIABLES)
def test_the_environment_has_the_last_word(told: dict[int, int], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "131072")
    keep_freed_memory()
    assert told == {}


def no_library(_: Any) -> None:
    raise OSError("no such library")


def no_name(_: Any) -> None:
    raise TypeError("a library has a name on Windows")


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(), no_library, no_name])
def test_it_is_harmless_where_there_is_no_mallopt(
    told: dict[int, int], monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_freed_memory()
    assert told == {}


def test_the_real_one_may_be_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    keep_freed_memory()
    keep_freed_memory()
