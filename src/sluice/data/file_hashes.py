"""Content hashes of source files, remembered so that unchanged files are not read again."""

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sluice.data.followers import follows, wait_until
from sluice.data.watching import watched
from sluice.errors import UserError

BLOCK = 2**20
"""Bytes read at a time."""
SETTLED_NS = 2 * 10**9
"""A file hashed within this time of its last change may change again without a new mtime: it is hashed again."""
FOLDER = "file-hashes"
"""In the cache folder: one JSON file for each folder with source files."""


class Known(NamedTuple):
    """What is remembered of a file; the first three fields tell whether it is still the same file."""

    size: int
    mtime_ns: int
    inode: int
    digest: str
    hashed_at_ns: int
    """Since the epoch."""


class FileHashes:
    """SHA-256 of files, remembered by path, size, mtime and inode.

    The process that prepares the data (see `follows`) computes the hashes; the others wait for them.
    """

    def __init__(self, cache_dir: Path) -> None:
        """
        Args:
            cache_dir: the cache folder; where it cannot be written, nothing is remembered.
        """
        self._folder = cache_dir / FOLDER

    def of(self, paths: Sequence[Path]) -> list[str]:
        """The hex digest of each file's content, in the order given.

        Raises:
            UserError: if a file cannot be read, or the preparing process does not hash it in time.
        """
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for path in paths:
            by_folder[path.parent].append(path)
        found: dict[Path, str] = {}
        for folder, members in by_folder.items():
            index = self._folder / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.json"
            found |= _awaited(index, members) if follows() else _computed(index, members)
        return [found[path] for path in paths]


def _computed(index: Path, paths: list[Path]) -> dict[Path, str]:
    known, digests, missing = _read(index), dict[Path, str](), list[tuple[Path, os.stat_result]]()
    for path in paths:
        stat, entry = _stat(path), known.get(path.name)
        if entry and _is_same(entry, stat) and entry.hashed_at_ns - entry.mtime_ns > SETTLED_NS:
            digests[path] = entry.digest
        else:
            missing.append((path, stat))
    hashed: dict[str, Known] = {}
    for path, stat in watched(missing, "Hashing files (once)") if len(missing) > 1 else missing:
        now = time.time_ns()
        digests[path] = _sha256(path)
        hashed[path.name] = Known(stat.st_size, stat.st_mtime_ns, stat.st_ino, digests[path], now)
    if missing:
        _write(index, {**_read(index), **hashed})  # another run may have hashed other files of the folder meanwhile
    return digests


def _awaited(index: Path, paths: list[Path]) -> dict[Path, str]:
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


def _is_same(entry: Known, stat: os.stat_result) -> bool:
    return entry[:3] == (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, error) from error
    return digest.hexdigest()


def _read(index: Path) -> dict[str, Known]:
    """What is remembered of a folder's files by name; nothing where the index is missing or damaged."""
    try:
        plain = json.loads(index.read_text(encoding="utf-8"))
        return {name: Known(*entry) for name, entry in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(index: Path, known: dict[str, Known]) -> None:
    """Replaces the index in one step; a folder that cannot be written costs time at the next start and no more."""
    unfinished = index.with_name(f".{index.name}.{os.getpid()}")
    with suppress(OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_text(json.dumps(known), encoding="utf-8")
            unfinished.replace(index)
        finally:
            unfinished.unlink(missing_ok=True)


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}): check the path and its rights")
