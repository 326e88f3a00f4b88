"""A prepared corpus belongs to the content of its sources."""

import os
from pathlib import Path

import numpy as np
import pytest

from sluice.data.cache import Stored
from sluice.data.fingerprints import SourceFile, Sources
from sluice.data.preparing import load_or_prepare
from sluice.errors import UserError


class OneFile:
    """A corpus of one file."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sources = Sources("one", (SourceFile("train", path),))

    def stored(self) -> Stored:
        return Stored({"bytes": np.frombuffer(self.path.read_bytes(), dtype=np.uint8)}, {})


def content(path: Path, cache_dir: Path) -> bytes:
    """What is prepared from a file."""
    corpus = OneFile(path)
    return load_or_prepare("raw", corpus, {}, cache_dir, corpus.stored).stored.arrays["bytes"].tobytes()


def test_a_moved_and_touched_file_is_not_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    content(tmp_path / "a", tmp_path / "cache")
    (tmp_path / "a").rename(tmp_path / "b")
    os.utime(tmp_path / "b", ns=(1, 1))
    corpus = OneFile(tmp_path / "b")
    assert load_or_prepare("raw", corpus, {}, tmp_path / "cache", lambda: pytest.fail("prepared again"))


def test_a_file_of_the_same_size_and_time_is_prepared_again(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        (tmp_path / "new").write_bytes(text)
        os.utime(tmp_path / "new", ns=(10**18, 10**18))
        (tmp_path / "new").replace(tmp_path / "a")  # another inode
        assert content(tmp_path / "a", tmp_path / "cache") == text


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    corpus = OneFile(tmp_path / "a")

    def build() -> Stored:
        stored = corpus.stored()
        (tmp_path / "a").write_bytes(b"longer")
        return stored

    with pytest.raises(UserError, match="changed while they were read"):
        load_or_prepare("raw", corpus, {}, tmp_path / "cache", build)
    assert content(tmp_path / "a", tmp_path / "cache") == b"longer"
