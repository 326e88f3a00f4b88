"""Fingerprints of the content of a corpus, from cached hashes of its files."""

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sluice.data.corpus import Sources
from sluice.data.progress import track
from sluice.data.rank_zero_first import is_local_rank_zero, wait_until
from sluice.errors import reading
from sluice.files import write_atomically

BLOCK = 2**20
"""Bytes per read."""
SETTLED_NS = 2 * 10**9
"""A hash computed within this time after the file's mtime is not reused: the file may have changed since."""
FOLDER = "file-hashes"
"""Subfolder of the cache folder, with one JSON file for each folder of source files."""


class HashRecord(NamedTuple):
    """Cached hash of a file; valid while size, mtime and inode are unchanged."""

    size: int
    mtime_ns: int
    inode: int
    digest: str
    hashed_at_ns: int
    """Time of hashing, in ns since the Unix epoch."""


class FileHashes:
    """SHA-256 of files, cached by path, size, mtime and inode.

    Local rank 0 computes the hashes; the other processes on the machine wait for them.
    """

    def __init__(self, cache_dir: Path) -> None:
        """
        Args:
            cache_dir: the cache folder; if it is not writable, hashes are not cached.
        """
        self._folder = cache_dir / FOLDER

    def of(self, paths: Sequence[Path]) -> list[str]:
        """Returns the hex digest of each file.

        Raises:
            UserError: if a file cannot be read, or waiting for local rank 0 times out.
        """
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for path in paths:
            by_folder[path.parent].append(path)
        found: dict[Path, str] = {}
        for folder, members in by_folder.items():
            index = self._folder / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.json"
            found |= _compute(index, members) if is_local_rank_zero() else _wait_for(index, members)
        return [found[path] for path in paths]


def _compute(index: Path, paths: list[Path]) -> dict[Path, str]:
    known, digests, missing = _read(index), dict[Path, str](), list[tuple[Path, os.stat_result]]()
    for path in paths:
        stat, entry = _stat(path), known.get(path.name)
        if entry and _is_same(entry, stat) and entry.hashed_at_ns - entry.mtime_ns > SETTLED_NS:
            digests[path] = entry.digest
        else:
            missing.append((path, stat))
    hashed: dict[str, HashRecord] = {}
    for path, stat in track(missing, "Hashing files (once)") if len(missing) > 1 else missing:
        now = time.time_ns()
        digests[path] = _sha256(path)
        hashed[path.name] = HashRecord(stat.st_size, stat.st_mtime_ns, stat.st_ino, digests[path], now)
    if missing:
        _write(index, {**_read(index), **hashed})  # re-read: another run may have added entries
    return digests


def _wait_for(index: Path, paths: list[Path]) -> dict[Path, str]:
    digests: dict[Path, str] = {}

    def complete() -> bool:
        known = _read(index)
        for path in paths:
            entry = known.get(path.name)
            if entry is not None and _is_same(entry, _stat(path)):
                digests[path] = entry.digest
        return len(digests) == len(paths)

    wait_until(complete, f"the content hash of {paths[0]}")
    return digests


def _is_same(entry: HashRecord, stat: os.stat_result) -> bool:
    return entry[:3] == (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _stat(path: Path) -> os.stat_result:
    with reading(path):
        return path.stat()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with reading(path), path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read(index: Path) -> dict[str, HashRecord]:
    """Reads the hashes of a folder's files by name; returns an empty dict if the index is missing or corrupted."""
    try:
        plain = json.loads(index.read_text(encoding="utf-8"))
        return {name: HashRecord(*entry) for name, entry in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(index: Path, known: dict[str, HashRecord]) -> None:
    """Replaces the index atomically; errors are ignored, since the index is only a cache."""
    with suppress(OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(index, json.dumps(known))


MAX_FILE_DIGESTS = 100
"""Larger corpora record one digest per folder instead of one per file."""


class FileDigest(NamedTuple):
    """Content digest of a file, or of all files of a folder."""

    role: str
    name: str
    """Path, for messages."""
    digest: str


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint of a corpus's sources; unaffected by moving or touching files."""

    recipe: str
    files: tuple[FileDigest, ...]
    seed: int | None

    @cached_property
    def digest(self) -> str:
        """16 hex digits over recipe and file contents; independent of the seed of generated texts."""
        return _digest([self.recipe, [[file.role, file.digest] for file in self.files]])

    @property
    def key(self) -> str:
        """Digest and seed: part of the cache key."""
        return f"{self.digest}-{self.seed}"


def fingerprint_of(sources: Sources, cache_dir: Path) -> Fingerprint:
    """Computes the fingerprint of a corpus's sources; unchanged files are not hashed again, see FileHashes.

    Raises:
        UserError: if a file cannot be read.
    """
    digests = FileHashes(cache_dir).of([file.path for file in sources.files])
    pairs = list(zip(sources.files, digests, strict=True))
    if len(pairs) <= MAX_FILE_DIGESTS:
        named = [FileDigest(file.role, str(file.path), digest) for file, digest in pairs]
    else:
        folders: dict[Path, list[list[str]]] = {}
        for file, digest in pairs:
            folders.setdefault(file.path.parent, []).append([file.role, digest])
        named = [FileDigest(f"{len(members)} files", str(path), _digest(members)) for path, members in folders.items()]
    return Fingerprint(sources.recipe, tuple(named), sources.seed)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
