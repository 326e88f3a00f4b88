"""Prepared corpora in the cache, found again by the content of their sources."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sluice.data.cache import Stored, entry_path, load_or_build
from sluice.data.fingerprints import Fingerprint, Sources, fingerprint_of
from sluice.errors import UserError


class Corpus(Protocol):
    """What every corpus has."""

    @property
    def name(self) -> str:
        """Where it comes from: "local", "download", "sample", "file" or "generated"."""

    @property
    def sources(self) -> Sources:
        """Everything that the texts depend on."""


class Prepared(NamedTuple):
    """A prepared corpus, and what it was prepared from."""

    stored: Stored
    fingerprint: Fingerprint


def load_or_prepare(
    kind: str, corpus: Corpus, settings: Mapping[str, Any], cache_dir: Path, build: Callable[[], Stored]
) -> Prepared:
    """Opens the cache entry of a corpus; builds it first where there is none.

    Args:
        kind: of the entry: "texts", "tags", ...
        corpus: the corpus.
        settings: all that the arrays depend on besides the corpus: plain JSON.
        cache_dir: the cache folder.
        build: reads the corpus.

    Raises:
        UserError: as `build`, if a source cannot be read or changes while it is read, or for a cache that can't be
            written.
    """
    fingerprint = fingerprint_of(corpus.sources, cache_dir)

    def build_unchanged() -> Stored:
        stored = build()
        if fingerprint_of(corpus.sources, cache_dir) != fingerprint:
            raise UserError(f"the files of the {corpus.name} corpus changed while they were read: start again")
        return stored

    path = entry_path(cache_dir, f"{kind}-{corpus.name}", {"corpus": fingerprint.key, **settings})
    return Prepared(load_or_build(path, build_unchanged), fingerprint)
