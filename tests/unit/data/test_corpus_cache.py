"""Cache entries of corpora are keyed by the content of their sources."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sluice.data.cache import CacheEntry, load_or_prepare
from sluice.data.classification import TextSettings, prepare_corpus
from sluice.data.corpus import SourceFile, Sources
from sluice.data.pair_encoding import CharNgramSettings
from sluice.data.parallel import ParallelSettings, prepare_parallel
from sluice.data.running_text import StreamSettings, prepare_text
from sluice.data.synthetic.parallel import SampleParallel
from sluice.data.synthetic.reviews import SampleReviews, SampleText
from sluice.data.synthetic.tagging import SampleTagging
from sluice.data.synthetic.text_pairs import SamplePairs
from sluice.data.tagging import TagSettings, prepare_tags
from sluice.data.text_pairs import prepare_text_pairs
from sluice.errors import UserError


class OneFile:
    """A corpus of one file."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sources = Sources("one", (SourceFile("train", path),))

    def entry(self) -> CacheEntry:
        return CacheEntry({"bytes": np.frombuffer(self.path.read_bytes(), dtype=np.uint8)}, {})


def content(path: Path, cache_dir: Path) -> bytes:
    """The prepared bytes of a file."""
    corpus = OneFile(path)
    return load_or_prepare("raw", corpus, {}, cache_dir, corpus.entry).entry.arrays["bytes"].tobytes()


def test_moved_or_touched_file_is_not_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    content(tmp_path / "a", tmp_path / "cache")
    (tmp_path / "a").rename(tmp_path / "b")
    os.utime(tmp_path / "b", ns=(1, 1))
    corpus = OneFile(tmp_path / "b")
    assert load_or_prepare("raw", corpus, {}, tmp_path / "cache", lambda: pytest.fail("prepared again"))


def test_changed_file_of_equal_size_and_mtime_is_prepared_again(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        (tmp_path / "new").write_bytes(text)
        os.utime(tmp_path / "new", ns=(10**18, 10**18))
        (tmp_path / "new").replace(tmp_path / "a")  # another inode
        assert content(tmp_path / "a", tmp_path / "cache") == text


def test_file_that_changes_while_being_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    corpus = OneFile(tmp_path / "a")

    def build() -> CacheEntry:
        entry = corpus.entry()
        (tmp_path / "a").write_bytes(b"longer")
        return entry

    with pytest.raises(UserError, match="changed while being read"):
        load_or_prepare("raw", corpus, {}, tmp_path / "cache", build)
    assert content(tmp_path / "a", tmp_path / "cache") == b"longer"


PREPARED: dict[str, Callable[[Path], object]] = {
    "texts": lambda cache: prepare_corpus(SampleReviews(size=20), TextSettings(), cache),
    "stream": lambda cache: prepare_text(SampleText(size=20), StreamSettings(), cache),
    "pairs": lambda cache: prepare_parallel(SampleParallel(size=20), ParallelSettings(tokenizer="whitespace"), cache),
    "tags": lambda cache: prepare_tags(SampleTagging(size=60, val_size=9, test_size=9), TagSettings(), cache),
    "text-pairs": lambda cache: prepare_text_pairs(
        SamplePairs(size=9, val_size=9, test_size=9), CharNgramSettings(), {"test": 0.1, "val": 0.1}, cache
    ),
}
ENTRIES = {
    "texts": ("texts-sample-34e436ae2cd9488f", 723384731),
    "stream": ("stream-sample-c4717845355ab17f", 895399692),
    "pairs": ("pairs-sample-2c941a2eaa899aeb", 702643925),
    "tags": ("tags-sample-f6df3d8e61ae9f3f", 2961136519),
    "text-pairs": ("text-pairs-sample-237ed13e9adca0ba", 1055817540),
}
"""Name of each kind's entry, and a checksum over its files; text-pairs is the only one here with `MARKS_VERSION`."""


@pytest.mark.parametrize("kind", PREPARED)
def test_entries_of_earlier_versions_stay_valid(tmp_path: Path, kind: str) -> None:
    """If the content of an entry has to change, increment `LAYOUT`, so that older entries are rebuilt."""
    PREPARED[kind](tmp_path)
    (entry,) = tmp_path.glob(f"{kind}-*")
    files = sorted(entry.iterdir())
    whole = zlib.crc32(b"".join(file.name.encode() + file.read_bytes() for file in files))
    assert (entry.name, whole) == ENTRIES[kind]
