"""Many sequences in flat arrays, and what the splits of a corpus are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


def offsets_of(lengths: ArrayLike) -> NDArray[np.int64]:
    """(N + 1,) where sequences of these lengths (N,) begin in a flat array, and the end of the last."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


@dataclass(frozen=True)
class Ragged:
    """Sequence i is flat[offsets[i] : offsets[i + 1]]; both arrays may be memory-mapped."""

    flat: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def from_lengths(cls, flat: NDArray[np.int32], lengths: ArrayLike) -> "Ragged":
        """Cuts a flat array into sequences of these lengths (N,)."""
        return cls(flat, offsets_of(lengths))

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Copies the rows into one array."""
        kept = list(rows)
        return cls.from_lengths(np.fromiter(chain.from_iterable(kept), dtype=np.int32), [len(row) for row in kept])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) the length of every sequence."""
        return np.diff(self.offsets)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.flat[self.offsets[index] : self.offsets[index + 1]]

    def rows(self, index: NDArray[np.int64]) -> "Ragged":
        """The chosen sequences, copied out in the order given."""
        lengths = self.lengths[index]
        offsets = offsets_of(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return Ragged(self.flat[places], offsets)


class Lines:
    """Line i is the UTF-8 of flat[offsets[i] : offsets[i + 1]]; both arrays may be memory-mapped."""

    def __init__(self, flat: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.flat, self.offsets = flat, offsets

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Lines":
        """The lines of these texts."""
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
    """(N,), (N, T) or (N, T, D): int64 classes, IGNORED where there is none, or float32 values."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) steps of each sequence: all T."""
        return np.full(len(self.inputs), self.inputs.shape[1], dtype=np.int64)


class RaggedSequences(NamedTuple):
    """Sequences of ids of different lengths, each with a class for every step."""

    inputs: Ragged
    targets: Ragged
    """With the offsets of the inputs; IGNORED where there is nothing to answer."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) steps of each sequence."""
        return self.inputs.lengths


@dataclass(frozen=True)
class ParallelSplit:
    """The pairs of one split."""

    source: Ragged
    """Ids, each sentence with its end."""
    target: Ragged
    """Ids, each sentence with its begin and its end."""
    source_lines: Lines
    target_lines: Lines

    def __len__(self) -> int:
        return len(self.source)

    def sort_keys(self) -> tuple[NDArray[np.int64], int]:
        """(N,) numbers that sort pairs by the target's length, then by the source's, and what a target token weighs."""
        scale = int(self.source.lengths.max(initial=0)) + 1
        return (self.target.lengths - 1) * scale + self.source.lengths, scale


@dataclass(frozen=True)
class TextPairSplit:
    """The pairs of one split."""

    texts: Ragged
    """(2 N) texts in places of the table of words: all first ones, then all second ones."""
    deciding: Ragged
    """The same with 1 for a deciding word and 0 for every other."""
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """(2 B,) places of the texts of some pairs, first ones before second ones."""
        return np.concatenate([index, index + len(self)])

    def truncated_lengths(self, max_length: int) -> NDArray[np.int64]:
        """(N,) words of each pair's longer text once truncated."""
        return np.minimum(self.texts.lengths.reshape(2, -1).max(0), max_length)

    def select(self, index: NDArray[np.int64]) -> "TextPairSplit":
        """Some of the pairs, in the order given."""
        rows = self.rows(index)
        return TextPairSplit(self.texts.rows(rows), self.deciding.rows(rows), self.labels[index])
