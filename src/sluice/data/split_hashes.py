"""Which texts are in which split, by 64-bit hashes, so that a split survives changes of the files it was cut from."""

import hashlib
import os
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.data.sources import SPLITS
from sluice.errors import UserError

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


class Chosen(NamedTuple):
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

    def choose(self, split: str, given: NDArray[np.str_], hashes: Hashes) -> Chosen:
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
        return Chosen(rows, int((~np.isin(own, everywhere)).sum()))

    def repeated(self) -> dict[str, int]:
        """How many texts of validation and test are also in the training split."""
        return {name: int(np.isin(self.splits[name], self.splits["train"]).sum()) for name in ("val", "test")}

    def save(self, folder: Path) -> None:
        """Writes splits.npz into a run's folder, whole or not at all; leaves an equal one as it is."""
        path = folder / FILE_NAME
        if path.exists() and (there := _read(path)) is not None and there.digest == self.digest:
            return
        unfinished = path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, **{name: self.splits[name] for name in SPLITS})
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def stored(cls, arrays: Mapping[str, NDArray[Any]]) -> "SplitHashes":
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
