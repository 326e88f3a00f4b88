"""What the texts of a corpus depend on, and the fingerprint of its content."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sluice.data.file_hashes import FileHashes

MOST_FILES_NAMED = 100
"""Of a corpus of more files, the files of each folder have one digest together."""


class SourceFile(NamedTuple):
    """A file that a corpus reads."""

    role: str
    """What it is to the corpus ("train", "test source"); with its content, all that matters of it."""
    path: Path


@dataclass(frozen=True)
class Sources:
    """Everything that the texts of a corpus depend on."""

    recipe: str
    """How the files are read, or a generator with its version and settings; without the seed of the run."""
    files: tuple[SourceFile, ...] = ()
    """In the order in which they are read."""
    seed: int | None = None
    """Of generated texts."""


class FileDigest(NamedTuple):
    """The content of a file, or of a folder's files."""

    role: str
    name: str
    """Its path, for messages."""
    digest: str


@dataclass(frozen=True)
class Fingerprint:
    """The content of a corpus's sources; moving or touching a file leaves it as it is."""

    recipe: str
    files: tuple[FileDigest, ...]
    seed: int | None

    @cached_property
    def digest(self) -> str:
        """16 hex digits over recipe and contents; equal for runs that differ in the seed of generated texts."""
        return _digest([self.recipe, [[file.role, file.digest] for file in self.files]])

    @property
    def key(self) -> str:
        """Equal for equal texts: part of the cache key."""
        return f"{self.digest}-{self.seed}"


def fingerprint_of(sources: Sources, cache_dir: Path) -> Fingerprint:
    """The fingerprint of sources; files are hashed if they have changed since the last time, see FileHashes.

    Raises:
        UserError: if a file cannot be read.
    """
    digests = FileHashes(cache_dir).of([file.path for file in sources.files])
    pairs = list(zip(sources.files, digests, strict=True))
    if len(pairs) <= MOST_FILES_NAMED:
        named = [FileDigest(file.role, str(file.path), digest) for file, digest in pairs]
    else:
        folders: dict[Path, list[list[str]]] = {}
        for file, digest in pairs:
            folders.setdefault(file.path.parent, []).append([file.role, digest])
        named = [FileDigest(f"{len(inside)} files", str(path), _digest(inside)) for path, inside in folders.items()]
    return Fingerprint(sources.recipe, tuple(named), sources.seed)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
