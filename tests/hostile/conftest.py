"""A check that hostile files and names ran no code."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def leak(workdir: Path) -> Iterator[Path]:
    """A file that every hostile input tries to create; the test fails if it exists afterwards."""
    path = workdir / "leak"
    yield path
    assert not path.exists()
    assert not any(found.name.startswith("made_by_evil") for found in workdir.rglob("*"))
