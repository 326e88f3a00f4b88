"""Identity of the data that a model was trained on: fingerprint of the sources, and text hashes of each split."""

import hashlib
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.data.corpus import SPLITS
from sluice.data.fingerprints import FileDigest, Fingerprint
from sluice.errors import UserError
from sluice.files import atomic_file
from sluice.plain import Plain, PlainMapping

FILE_NAME = "splits.npz"
"""In a run's folder."""
Hashes = NDArray[np.uint64]


def text_hash(*parts: str) -> int:
    """Returns a 64-bit hash of a text or text pair after NFC and whitespace normalisation; case-sensitive."""
    normal = "\t".join(" ".join(unicodedata.normalize("NFC", part).split()) for part in parts)
    return int.from_bytes(hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def hashes_of(texts: Iterable[Sequence[str]]) -> Hashes:
    """Returns the (N,) `text_hash` of each text, given as a tuple of its parts."""
    return np.fromiter((text_hash(*parts) for parts in texts), dtype=np.uint64)


class SelectedRows(NamedTuple):
    """Rows of a corpus that belong to a split."""

    rows: NDArray[np.int64]
    left_out: int
    """Number of rows that belong to no split."""


@dataclass(frozen=True)
class SplitHashes:
    """Hashes of the texts of each split, in the order of the split."""

    splits: Mapping[str, Hashes]

    @cached_property
    def digest(self) -> str:
        """16 hex digits over all hashes, in order."""
        digest = hashlib.sha256()
        for name in SPLITS:
            digest.update(f"{name} {len(self.splits[name])}\n".encode())
            digest.update(np.ascontiguousarray(self.splits[name], dtype="<u8").tobytes())
        return digest.hexdigest()[:16]

    def select(self, split: str, given: NDArray[np.str_], hashes: Hashes) -> SelectedRows:
        """Selects the rows of a corpus whose hash is in a split.

        Candidates are the rows that the corpus assigns to the split, or the training rows if it assigns none. A text is
        selected as many times as the split contains it; further copies, added since, are left out unless another split
        contains the text too (which occurs in published corpora only).

        Args:
            split: "train", "val" or "test".
            given: (N,) split of each row according to the corpus.
            hashes: (N,) text hashes of the rows.
        """
        candidates = np.flatnonzero(given == (split if (given == split).any() else "train"))
        candidate_hashes = hashes[candidates]
        known = np.concatenate([self.splits[name] for name in SPLITS])
        rows = candidates[np.isin(candidate_hashes, self.splits[split])]
        other_splits = np.concatenate([self.splits[name] for name in SPLITS if name != split])
        shared = np.isin(hashes[rows], other_splits)
        further = _occurrence(hashes[rows]) >= _count(self.splits[split], hashes[rows])
        unknown = ~np.isin(candidate_hashes, known)
        return SelectedRows(rows[~further], int(unknown.sum()) + int((further & ~shared).sum()))

    def overlap_with_train(self) -> dict[str, int]:
        """Returns the number of validation and test texts that are also in the training split."""
        return {name: int(np.isin(self.splits[name], self.splits["train"]).sum()) for name in ("val", "test")}

    def save(self, folder: Path) -> None:
        """Writes splits.npz atomically into a run folder, unless it already exists with equal content."""
        path = folder / FILE_NAME
        if path.exists() and (existing := _read(path)) is not None and existing.digest == self.digest:
            return
        with atomic_file(path) as file:
            np.savez(file, allow_pickle=False, **{name: self.splits[name] for name in SPLITS})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Hashes]) -> "SplitHashes":
        """Builds the hashes from the arrays `<split>_hashes` of a cache entry."""
        return cls({name: arrays[f"{name}_hashes"] for name in SPLITS})

    @classmethod
    def load(cls, path: Path, digest: str) -> "SplitHashes":
        """Reads splits.npz and compares its digest with the one stored in a checkpoint.

        Raises:
            UserError: if the file cannot be read or its digest differs.
        """
        found = _read(path)
        if found is None:
            raise UserError(f"{path} cannot be read or is corrupted: restore it from the run")
        if found.digest != digest:
            raise UserError(
                f"{path} has digest {found.digest}, not {digest} as in the checkpoint: it belongs to another run"
            )
        return found


def _read(path: Path) -> SplitHashes | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return SplitHashes({name: np.asarray(arrays[name], dtype=np.uint64) for name in SPLITS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _occurrence(hashes: Hashes) -> NDArray[np.int64]:
    """Returns (N,) the number of equal hashes before each."""
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    number = np.arange(len(hashes)) - np.repeat(starts, np.diff([*starts, len(hashes)]))
    found = np.empty(len(hashes), dtype=np.int64)
    found[order] = number
    return found


def _count(within: Hashes, hashes: Hashes) -> NDArray[np.int64]:
    """Returns (N,) the number of occurrences of each hash in `within`."""
    unique, counts = np.unique(within, return_counts=True)
    index = np.searchsorted(unique, hashes)
    return counts[index]


MAX_NAMED_FILES = 5
"""Maximum number of files named in a message."""


@dataclass(frozen=True)
class DataIdentity:
    """Identity of prepared data: fingerprint of the sources, and the splits."""

    fingerprint: Fingerprint
    hashes: SplitHashes | None = None
    """Text hashes of each split; None for running text."""
    text_digest: str | None = None
    """Digest over all lines of running text."""
    matches_legacy_split: bool = True
    """Whether earlier versions, which drew identical texts independently, made the same splits."""

    def saved(self) -> Plain:
        """Returns the plain containers stored in checkpoints."""
        return {
            "fingerprint": self.fingerprint.digest,
            "recipe": self.fingerprint.recipe,
            "seed": self.fingerprint.seed,
            "files": [list(file) for file in self.fingerprint.files],
            "splits": self.hashes.digest if self.hashes else self.text_digest,
        }


def identity_changes(before: PlainMapping, now: PlainMapping) -> list[str]:
    """Describes the differences between two identities returned by `DataIdentity.saved`; empty if they are equal."""
    found = _changed_files(
        [FileDigest(*file) for file in before["files"]], [FileDigest(*file) for file in now["files"]]
    )
    if before["recipe"] != now["recipe"]:
        found.append(f"the format or generator of the texts (was {before['recipe']!r}, now {now['recipe']!r})")
    if before["seed"] != now["seed"]:
        found.append(f"the seed of the generated data (was {before['seed']}, now {now['seed']})")
    if not found and before["fingerprint"] != now["fingerprint"]:
        found.append("the order or the roles of the source files")
    if not found and before["splits"] != now["splits"]:
        found.append("the split into training, validation and test")
    return found


def _changed_files(before: Sequence[FileDigest], now: Sequence[FileDigest]) -> list[str]:
    """Lists new, changed and removed files."""
    then, today = ({(file.role, file.digest) for file in files} for files in (before, now))
    changed = [file.name for file in now if (file.role, file.digest) not in then]
    names = {Path(name).name for name in changed}
    gone = [file.name for file in before if (file.role, file.digest) not in today and Path(file.name).name not in names]
    found = [*changed, *(f"{name} (no longer read)" for name in gone)]
    more = len(found) - MAX_NAMED_FILES
    return [*found[:MAX_NAMED_FILES], f"{more} more files"] if more > 0 else found
