"""Files and names that try to run something, and the proof that nothing ran."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def leak(workplace: Path) -> Iterator[Path]:
    """A file that every hostile input tries to create; it must not be there afterwards, nor anything named evil."""
    path = workplace / "leak"
    yield path
    assert not path.exists()
    assert not any(found.name.startswith("made_by_evil") for found in workplace.rglob("*"))
