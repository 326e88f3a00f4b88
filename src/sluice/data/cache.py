"""On-disk cache of prepared arrays: atomic writes, checksums, memory-mapped reads, keyed by content."""

import base64
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
from sluice.errors import UserError, reason_of
from sluice.plain import Plain
from sluice.text.tokenizers import MARKS_VERSION

DEFAULT_CACHE = Path("data/cache")
"""Default folder of the cache, relative to the working directory."""
Arrays: TypeAlias = dict[str, NDArray[Any]]
"""Arrays by name, of any dtype."""
Json: TypeAlias = Plain
"""JSON-serialisable containers."""
LAYOUT = 3
"""Version of the file format; incrementing it invalidates existing caches."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """Contents of a cache entry."""

    arrays: Arrays
    """Memory-mapped read-only."""
    info: Json
    """Metadata of the arrays."""


class CacheDamaged(Exception):
    """Raised for an entry that is truncated, modified or of another layout."""


def entry_path(cache_dir: Path, name: str, key: Json) -> Path:
    """Returns the folder of a cache entry.

    Args:
        cache_dir: the cache folder.
        name: readable prefix of the folder name.
        key: everything that the content of the entry depends on; hashed into the folder name.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir / f"{name}-{digest}"


def is_cache(folder: Path) -> bool:
    """Returns whether a folder is a cache folder, i.e. contains at least one valid cache entry."""
    return any(_is_entry(path) for path in folder.glob("*-*/meta.json"))


def _is_entry(meta_file: Path) -> bool:
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
        return bool(meta["layout"] == LAYOUT and _info_checksum(meta["info"]) == meta["info_checksum"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def load_or_build(path: Path, build: Callable[[], CacheEntry]) -> CacheEntry:
    """Opens the cache entry at `path`; builds and writes it first if it is missing or corrupted.

    A corrupted entry is logged. On each machine, local rank 0 builds and the other processes wait.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    if not is_local_rank_zero():
        wait_until(path.exists, f"the cache {path}")
    if path.exists():
        try:
            return open_entry(path)
        except CacheDamaged as damage:
            log.warning("The cache entry %s is %s; rebuilding it.", path, damage)
    write_entry(path, build())
    return open_entry(path)


def open_entry(path: Path) -> CacheEntry:
    """Opens an entry and checks its layout, sizes and checksums.

    Raises:
        CacheDamaged: if the entry does not match its checksums.
    """
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        if meta["layout"] != LAYOUT:
            raise CacheDamaged(f"of layout {meta['layout']} (this version uses layout {LAYOUT})")
        if _info_checksum(meta["info"]) != meta["info_checksum"]:
            raise CacheDamaged("corrupted: checksum mismatch in meta.json")
        for name, expected in meta["checksums"].items():
            if Path(name).name != name:
                raise CacheDamaged(f"corrupted: invalid array name {name!r}")
            if _checksum(path / f"{name}.npy") != expected:
                raise CacheDamaged(f"corrupted: checksum mismatch in {name}.npy")
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in meta["checksums"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CacheDamaged(f"truncated or unreadable ({type(error).__name__})") from error
    return CacheEntry(arrays, meta["info"])


def write_entry(path: Path, entry: CacheEntry) -> None:
    """Writes an entry atomically; an existing valid entry is left unchanged.

    Raises:
        UserError: if the folder cannot be written or the disk is full; no partial files remain.
    """
    unfinished = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        unfinished.chmod(path.parent.stat().st_mode & 0o777)  # mkdtemp creates the folder with mode 0o700
        for name, array in entry.arrays.items():
            np.save(unfinished / f"{name}.npy", array)
        meta = {
            "layout": LAYOUT,
            "checksums": {name: _checksum(unfinished / f"{name}.npy") for name in entry.arrays},
            "info": entry.info,
            "info_checksum": _info_checksum(entry.info),
        }
        (unfinished / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        _replace_folder(unfinished, path)
    except OSError as error:
        raise UserError(_write_error(path.parent, error)) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Moves `new` to `path`, replacing a corrupted entry; a valid entry written by another process wins."""
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


def _write_error(folder: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full: the cache in {folder} could not be written; free some space or set paths.cache_dir"
    reason = reason_of(error)
    return f"the cache folder {folder} cannot be written ({reason}): set paths.cache_dir to a writable folder"


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _info_checksum(info: Json) -> int:
    return zlib.crc32(json.dumps(info).encode())


def text_of_bytes(value: bytes | None) -> str | None:
    """Encodes bytes for the metadata of an entry, which is JSON."""
    return None if value is None else base64.b64encode(value).decode()


def bytes_of(text: str | None) -> bytes | None:
    """Decodes the result of `text_of_bytes`."""
    return None if text is None else base64.b64decode(text)


class Prepared(NamedTuple):
    """A prepared corpus and the fingerprint of its sources."""

    entry: CacheEntry
    fingerprint: Fingerprint

    @property
    def info(self) -> Json:
        """Metadata of the arrays."""
        return self.entry.info

    @property
    def identity(self) -> DataIdentity:
        """Identity of the data, from the digest of a running text or the hashes of separate texts."""
        if "text_digest" in self.info:
            return DataIdentity(self.fingerprint, text_digest=self.info["text_digest"])
        hashes, matches = SplitHashes.from_arrays(self.entry.arrays), self.info["split_as_earlier"]
        return DataIdentity(self.fingerprint, hashes=hashes, matches_legacy_split=matches)

    def array(self, name: str) -> NDArray[Any]:
        """Returns a memory-mapped array by name."""
        return self.entry.arrays[name]

    def ragged(self, name: str, offsets: str) -> Ragged:
        """Returns sequences of ids, by the names of their two arrays."""
        return Ragged(self.array(name), self.array(offsets))


def load_or_prepare(
    kind: str, corpus: Corpus, settings: Json, cache_dir: Path, build: Callable[[], CacheEntry]
) -> Prepared:
    """Opens the cache entry of a corpus; builds it first if it is missing.

    Args:
        kind: kind of the entry: "texts", "tags", ...
        corpus: the corpus.
        settings: JSON-serialisable settings that the arrays depend on, in addition to the corpus.
        cache_dir: the cache folder.
        build: reads the corpus.

    Raises:
        UserError: if `build` raises it, a source cannot be read or changes while it is read, or the cache cannot be
            written.
    """
    fingerprint = fingerprint_of(corpus.sources, cache_dir)

    def build_unchanged() -> CacheEntry:
        entry = build()
        if fingerprint_of(corpus.sources, cache_dir) != fingerprint:
            raise UserError(f"the files of the {corpus.name} corpus changed while being read: run the command again")
        return entry

    key = {"corpus": fingerprint.key, **settings, **_tokenizer_version(settings)}
    path = entry_path(cache_dir, f"{kind}-{corpus.name}", key)
    return Prepared(load_or_build(path, build_unchanged), fingerprint)


def _tokenizer_version(settings: Json) -> Json:
    """Returns the version of the tokenizer, if it has one."""
    tokenizer = (settings.get("tokens") or settings).get("tokenizer")
    return {"marks_version": MARKS_VERSION} if tokenizer in ("words", "moses") else {}
