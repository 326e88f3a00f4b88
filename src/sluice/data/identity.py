"""What data a model was trained on: their fingerprint, and which text was in which split."""

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
    """64 bits of a text, or of a pair of texts: NFC, every run of blanks one space, case kept."""
    normal = "\t".join(" ".join(unicodedata.normalize("NFC", part).split()) for part in parts)
    return int.from_bytes(hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def hashes_of(texts: Iterable[Sequence[str]]) -> Hashes:
    """(N,) the `text_hash` of each text, given as its parts."""
    return np.fromiter((text_hash(*parts) for parts in texts), dtype=np.uint64)


class SelectedRows(NamedTuple):
    """The rows of a corpus that belong to a split."""

    rows: NDArray[np.int64]
    left_out: int
    """Rows that belong to no split."""


@dataclass(frozen=True)
class SplitHashes:
    """The hash of every text of each split, in the order of the split."""

    splits: Mapping[str, Hashes]

    @cached_property
    def digest(self) -> str:
        """16 hex digits over all hashes and their order."""
        digest = hashlib.sha256()
        for name in SPLITS:
            digest.update(f"{name} {len(self.splits[name])}\n".encode())
            digest.update(np.ascontiguousarray(self.splits[name], dtype="<u8").tobytes())
        return digest.hexdigest()[:16]

    def select(self, split: str, given: NDArray[np.str_], hashes: Hashes) -> SelectedRows:
        """The rows of a corpus whose hash is in a split.

        Where a split has a file of its own, only the rows of that file are candidates, else those of the training
        file. A text in more than one split (only published corpora have such) is taken as often as the split has it.

        Args:
            split: "train", "val" or "test".
            given: (N,) the split of each row's file.
            hashes: (N,) of the rows.
        """
        candidates = np.flatnonzero(given == (split if (given == split).any() else "train"))
        own = hashes[candidates]
        everywhere = np.concatenate([self.splits[name] for name in SPLITS])
        rows = candidates[np.isin(own, self.splits[split])]
        elsewhere = np.concatenate([self.splits[name] for name in SPLITS if name != split])
        shared = np.isin(hashes[rows], elsewhere)
        if shared.any():
            rows = rows[~shared | (_occurrence(hashes[rows]) < _count(self.splits[split], hashes[rows]))]
        return SelectedRows(rows, int((~np.isin(own, everywhere)).sum()))

    def overlap_with_train(self) -> dict[str, int]:
        """How many texts of validation and test are also in the training split."""
        return {name: int(np.isin(self.splits[name], self.splits["train"]).sum()) for name in ("val", "test")}

    def save(self, folder: Path) -> None:
        """Writes splits.npz into a run's folder, whole or not at all; leaves an equal one as it is."""
        path = folder / FILE_NAME
        if path.exists() and (there := _read(path)) is not None and there.digest == self.digest:
            return
        with atomic_file(path) as file:
            np.savez(file, allow_pickle=False, **{name: self.splits[name] for name in SPLITS})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Hashes]) -> "SplitHashes":
        """The hashes of a cache entry, its arrays `<split>_hashes`."""
        return cls({name: arrays[f"{name}_hashes"] for name in SPLITS})

    @classmethod
    def load(cls, path: Path, digest: str) -> "SplitHashes":
        """Reads the file that belongs to a checkpoint.

        Raises:
            UserError: if it cannot be read, or its digest is another one.
        """
        found = _read(path)
        if found is None:
            raise UserError(f"{path} cannot be read or is damaged: restore it from the run")
        if found.digest != digest:
            raise UserError(f"{path} has digest {found.digest}, the checkpoint expects {digest}: it is of another run")
        return found


def _read(path: Path) -> SplitHashes | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return SplitHashes({name: np.asarray(arrays[name], dtype=np.uint64) for name in SPLITS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _occurrence(hashes: Hashes) -> NDArray[np.int64]:
    """(N,) how many equal hashes come before each."""
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    number = np.arange(len(hashes)) - np.repeat(starts, np.diff([*starts, len(hashes)]))
    found = np.empty(len(hashes), dtype=np.int64)
    found[order] = number
    return found


def _count(within: Hashes, hashes: Hashes) -> NDArray[np.int64]:
    """(N,) how often each hash is in `within`."""
    unique, counts = np.unique(within, return_counts=True)
    index = np.searchsorted(unique, hashes)
    return counts[index]


MOST_NAMED = 5
"""Files named in a message."""


@dataclass(frozen=True)
class DataIdentity:
    """Prepared data: their sources and their splits."""

    fingerprint: Fingerprint
    hashes: SplitHashes | None = None
    """Of data that consist of separate texts."""
    text_digest: str | None = None
    """Of running text: over all lines."""
    matches_legacy_split: bool = True
    """Whether versions that recorded nothing of the data, and drew identical texts one by one, cut the same splits."""

    def saved(self) -> Plain:
        """What a checkpoint carries of it: plain containers."""
        return {
            "fingerprint": self.fingerprint.digest,
            "recipe": self.fingerprint.recipe,
            "seed": self.fingerprint.seed,
            "files": [list(file) for file in self.fingerprint.files],
            "splits": self.hashes.digest if self.hashes else self.text_digest,
        }


def identity_changes(before: PlainMapping, now: PlainMapping) -> list[str]:
    """What differs between two identities as `DataIdentity.saved` gives them, in words; empty if nothing does."""
    found = _changed_files(
        [FileDigest(*file) for file in before["files"]], [FileDigest(*file) for file in now["files"]]
    )
    if before["recipe"] != now["recipe"]:
        found.append(f"how the texts are read or generated ({before['recipe']!r} then, {now['recipe']!r} now)")
    if before["seed"] != now["seed"]:
        found.append(f"the seed of the generated data ({before['seed']} then, {now['seed']} now)")
    if not found and before["fingerprint"] != now["fingerprint"]:
        found.append("the order or the roles of the source files")
    if not found and before["splits"] != now["splits"]:
        found.append("the split into training, validation and test")
    return found


def _changed_files(before: Sequence[FileDigest], now: Sequence[FileDigest]) -> list[str]:
    """Paths of the files that are new or have another content, and of those that are gone."""
    then, today = ({(file.role, file.digest) for file in files} for files in (before, now))
    changed = [file.name for file in now if (file.role, file.digest) not in then]
    names = {Path(name).name for name in changed}
    gone = [file.name for file in before if (file.role, file.digest) not in today and Path(file.name).name not in names]
    found = [*changed, *(f"{name} (no longer read)" for name in gone)]
    more = len(found) - MOST_NAMED
    return [*found[:MOST_NAMED], f"{more} more files"] if more > 0 else found
