"""Prepared arrays on disk: written whole or not at all, checked when opened, memory-mapped, found by content."""

import errno
import hashlib
import json
import logging
import shutil
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sluice.data.corpus import Corpus
from sluice.data.fingerprints import Fingerprint, fingerprint_of
from sluice.data.identity import DataIdentity, SplitHashes
from sluice.data.ragged import Ragged
from sluice.data.rank_zero_first import is_local_rank_zero, wait_until
from sluice.errors import UserError
from sluice.plain import Plain

Arrays: TypeAlias = dict[str, NDArray[Any]]
"""By name; each of its own type."""
Json: TypeAlias = Plain
"""Plain JSON."""
LAYOUT = 3
"""Raise it when the files change their meaning: older caches are then built again."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """What a cache entry holds."""

    arrays: Arrays
    """Memory-mapped read-only."""
    info: Json
    """What belongs to them."""


class CacheDamaged(Exception):
    """An entry that is cut short, altered or of another layout; the message says which."""


def entry_path(cache_dir: Path, name: str, key: Json) -> Path:
    """The folder of an entry; `key` names everything that its content depends on."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir / f"{name}-{digest}"


def is_cache(folder: Path) -> bool:
    """Whether a folder is a cache folder: one of its sub-folders is an entry, as Sluice writes it."""
    return any(_is_entry(path) for path in folder.glob("*-*/meta.json"))


def _is_entry(meta_file: Path) -> bool:
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
        return bool(meta["layout"] == LAYOUT and _info_checksum(meta["info"]) == meta["info_checksum"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def load_or_build(path: Path, build: Callable[[], CacheEntry]) -> CacheEntry:
    """Opens the entry at `path`; builds and stores it first if it is not there or damaged (which is said).

    Where several processes share a machine, the first builds and the others wait.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    if not is_local_rank_zero():
        wait_until(path.exists, f"the cache {path}")
    if path.exists():
        try:
            return open_entry(path)
        except CacheDamaged as damage:
            log.warning("The cache %s is %s: it is built again.", path, damage)
    write_entry(path, build())
    return open_entry(path)


def open_entry(path: Path) -> CacheEntry:
    """Opens an entry and checks its layout, sizes and checksums.

    Raises:
        CacheDamaged: if anything is not as it was written.
    """
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        if meta["layout"] != LAYOUT:
            raise CacheDamaged(f"of layout {meta['layout']}, this version writes {LAYOUT}")
        if _info_checksum(meta["info"]) != meta["info_checksum"]:
            raise CacheDamaged("altered: meta.json is not what was written")
        for name, expected in meta["checksums"].items():
            if Path(name).name != name:
                raise CacheDamaged(f"altered: {name!r} is no name of an array")
            if _checksum(path / f"{name}.npy") != expected:
                raise CacheDamaged(f"altered: {name}.npy is not what was written")
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in meta["checksums"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CacheDamaged(f"cut short or unreadable ({type(error).__name__})") from error
    return CacheEntry(arrays, meta["info"])


def write_entry(path: Path, stored: CacheEntry) -> None:
    """Writes an entry beside its place and moves it there in one step; a sound entry already there stays.

    Raises:
        UserError: if the folder cannot be written or the disk is full; nothing is left behind then.
    """
    unfinished = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        unfinished.chmod(path.parent.stat().st_mode & 0o777)  # mkdtemp shuts everybody else out
        for name, array in stored.arrays.items():
            np.save(unfinished / f"{name}.npy", array)
        meta = {
            "layout": LAYOUT,
            "checksums": {name: _checksum(unfinished / f"{name}.npy") for name in stored.arrays},
            "info": stored.info,
            "info_checksum": _info_checksum(stored.info),
        }
        (unfinished / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        _replace_folder(unfinished, path)
    except OSError as error:
        raise UserError(_why_not_written(path.parent, error)) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Moves `new` to `path`; a damaged entry there gives way, and so does `new` where another process was first."""
    if path.exists():
        with suppress(CacheDamaged):
            open_entry(path)
            return
        aside = tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent, ignore_cleanup_errors=True)
        with aside as old, suppress(FileNotFoundError):
            path.replace(Path(old, path.name))
    try:
        new.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _why_not_written(folder: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full: the cache in {folder} could not be written; free some space or set paths.cache_dir"
    reason = (error.strerror or str(error)).lower()
    return f"the cache folder {folder} cannot be written ({reason}): set paths.cache_dir to one that can"


def _checksum(file: Path) -> int:
    return zlib.crc32(np.memmap(file, mode="r").data)


def _info_checksum(info: Json) -> int:
    return zlib.crc32(json.dumps(info).encode())


class Prepared(NamedTuple):
    """A prepared corpus, and what it was prepared from."""

    stored: CacheEntry
    fingerprint: Fingerprint

    @property
    def info(self) -> Json:
        """Plain JSON that belongs to the arrays."""
        return self.stored.info

    @property
    def identity(self) -> DataIdentity:
        """What the data are, by the digest of a running text or the hashes of separate ones."""
        if "text_digest" in self.info:
            return DataIdentity(self.fingerprint, text_digest=self.info["text_digest"])
        hashes, matches = SplitHashes.from_arrays(self.stored.arrays), self.info["split_as_earlier"]
        return DataIdentity(self.fingerprint, hashes=hashes, matches_legacy_split=matches)

    def array(self, name: str) -> NDArray[Any]:
        """An array by its name, memory-mapped."""
        return self.stored.arrays[name]

    def ragged(self, name: str, offsets: str) -> Ragged:
        """Sequences of ids, by the names of their arrays."""
        return Ragged(self.array(name), self.array(offsets))


def load_or_prepare(
    kind: str, corpus: Corpus, settings: Json, cache_dir: Path, build: Callable[[], CacheEntry]
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

    def build_unchanged() -> CacheEntry:
        stored = build()
        if fingerprint_of(corpus.sources, cache_dir) != fingerprint:
            raise UserError(f"the files of the {corpus.name} corpus changed while they were read: start again")
        return stored

    path = entry_path(cache_dir, f"{kind}-{corpus.name}", {"corpus": fingerprint.key, **settings})
    return Prepared(load_or_build(path, build_unchanged), fingerprint)
