"""The fingerprint of a corpus in tests."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sluice.data.fingerprints import fingerprint_of


def fingerprint(corpus: Any) -> str:
    """The key of the corpus, computed by hashing every file."""
    with TemporaryDirectory() as cache_dir:
        return fingerprint_of(corpus.sources, Path(cache_dir)).key
