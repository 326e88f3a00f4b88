"""Ragged arrays, and the splits of corpora built from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


def offsets_of(lengths: ArrayLike) -> NDArray[np.int64]:
    """Returns the (N + 1,) offsets of sequences of these (N,) lengths in a flat array."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


@dataclass(frozen=True)
class Ragged:
    """Sequences in a flat array: sequence i is flat[offsets[i] : offsets[i + 1]]. The arrays may be memory-mapped."""

    flat: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def from_lengths(cls, flat: NDArray[np.int32], lengths: ArrayLike) -> "Ragged":
        """Splits a flat array into sequences of these (N,) lengths."""
        return cls(flat, offsets_of(lengths))

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Copies sequences into one array."""
        listed = list(rows)
        return cls.from_lengths(np.fromiter(chain.from_iterable(listed), dtype=np.int32), [len(row) for row in listed])

    @classmethod
    def concatenated(cls, parts: Iterable["Ragged"]) -> "Ragged":
        """Copies the sequences of several arrays into one, in order."""
        listed = list(parts)
        flat = np.concatenate([np.zeros(0, np.int32), *(part.flat for part in listed)])
        return cls.from_lengths(flat, np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in listed)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) lengths of the sequences."""
        return np.diff(self.offsets)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, index: NDArray[np.int64]) -> "Ragged":
        """Copies the sequences at these indices, in this order."""
        return self._copied(self.offsets[index], self.lengths[index])

    def truncated(self, max_length: int) -> "Ragged":
        """Copies the first `max_length` values of each sequence."""
        return self._copied(self.offsets[:-1], np.minimum(self.lengths, max_length))

    def preceded_by(self, value: int) -> "Ragged":
        """Copies the sequences, each after this value."""
        return Ragged.from_lengths(np.insert(self.flat, self.offsets[:-1], value), self.lengths + 1)

    def followed_by(self, value: int, chosen: NDArray[np.bool_] | None = None) -> "Ragged":
        """Copies the sequences; those that a mask (N,) chooses, by default all, are followed by this value."""
        mask = np.ones(len(self), dtype=bool) if chosen is None else chosen
        return Ragged.from_lengths(np.insert(self.flat, self.offsets[1:][mask], value), self.lengths + mask)

    def _copied(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> "Ragged":
        offsets = offsets_of(lengths)
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.flat[positions], offsets)


class Lines:
    """UTF-8 strings in a flat array: line i is flat[offsets[i] : offsets[i + 1]]. The arrays may be memory-mapped."""

    def __init__(self, flat: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.flat, self.offsets = flat, offsets

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Lines":
        """Encodes texts."""
        encoded = [text.encode() for text in texts]
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets_of([len(line) for line in encoded]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"line {index} of {len(self)}")
        return self.flat[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()


class Sequences(NamedTuple):
    """N sequences of T steps."""

    inputs: NDArray[Any]
    """(N, T) int64 ids, or (N, T, D) float32."""
    targets: NDArray[Any]
    """(N,), (N, T) or (N, T, D): int64 classes (IGNORED for steps without a target) or float32 values."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) lengths of the sequences, all T."""
        return np.full(len(self.inputs), self.inputs.shape[1], dtype=np.int64)


class RaggedSequences(NamedTuple):
    """Sequences of ids of different lengths, with a class for every step."""

    inputs: Ragged
    targets: Ragged
    """Class ids with the offsets of the inputs; IGNORED for steps without a target."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) lengths of the sequences."""
        return self.inputs.lengths


@dataclass(frozen=True)
class ParallelSplit:
    """Sentence pairs of one split."""

    source: Ragged
    """Token ids, each sentence followed by EOS_ID."""
    target: Ragged
    """Token ids, each sentence between BOS_ID and EOS_ID."""
    source_lines: Lines
    target_lines: Lines

    def __len__(self) -> int:
        return len(self.source)

    def sort_keys(self) -> tuple[NDArray[np.int64], int]:
        """Returns (N,) keys that sort pairs by target, then source length, and the weight of a target token in them."""
        scale = int(self.source.lengths.max(initial=0)) + 1
        return (self.target.lengths - 1) * scale + self.source.lengths, scale


@dataclass(frozen=True)
class TextPairSplit:
    """Labelled text pairs of one split."""

    texts: Ragged
    """(2 N texts) indices into the table of words: all first texts, then all second texts."""
    deciding: Ragged
    """(2 N texts) 1 for words that decide the class, 0 for others."""
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the (2 B,) indices of the texts of the pairs at these (B,) indices."""
        return np.concatenate([index, index + len(self)])

    def truncated_lengths(self, max_length: int) -> NDArray[np.int64]:
        """Returns the (N,) lengths of the longer texts of the pairs after truncation to `max_length` words."""
        return np.minimum(self.texts.lengths.reshape(2, -1).max(0), max_length)

    def select(self, index: NDArray[np.int64]) -> "TextPairSplit":
        """Copies the pairs at these indices, in this order."""
        rows = self.rows(index)
        return TextPairSplit(self.texts.rows(rows), self.deciding.rows(rows), self.labels[index])
