"""Streams of text side by side, cut into chunks of steps: what truncated back-propagation through time reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from sluice.data.batch import Batch
from sluice.layers.heads import IGNORED

HALF_SHARE, SPREAD = 0.05, 5.0
"""Of variable chunks (Merity, Keskar & Socher 2018, section 5): share of half the length; deviation in steps."""


@dataclass
class ChunkBatch(Batch):
    """The same steps of every stream."""

    moved: ClassVar[tuple[str, ...]] = ("inputs", "targets")

    inputs: Tensor
    """(B, T) int64, the token before each target."""
    targets: Tensor
    """(B, T) int64, `IGNORED` beyond a stream's end."""
    first: bool
    """Whether the streams begin here: what was carried from another chunk doesn't belong to it."""
    tokens: int
    """Targets that count."""

    def __len__(self) -> int:
        return len(self.inputs)


class Piece(NamedTuple):
    """Steps of the streams: from `start`, `steps` of them."""

    start: int
    steps: int


class Streams(Dataset[ChunkBatch]):
    """A text cut into as many streams of equal length as run side by side; a process holds some of them.

    Every token of the text is predicted once, the first one from the end of a line. The last streams may end early.
    """

    def __init__(
        self,
        text: NDArray[np.int32],
        *,
        streams: int,
        end_id: int,
        rank: int = 0,
        world_size: int = 1,
        contiguous: bool,
    ) -> None:
        """
        Args:
            text: (N,) ids.
            streams: S, of all processes together.
            end_id: id of the end of a line, which stands before the text.
            rank: this process.
            world_size: processes.
            contiguous: neighbouring streams are one process's, an equal number for each; else they are dealt out one
                by one, and a process without any has one in which nothing is to be predicted.
        """
        self.text, self.end_id = text, end_id
        self.length = -(-len(text) // streams)
        own = np.arange(streams)
        if contiguous:
            share = streams // world_size
            own = own[rank * share : (rank + 1) * share]
        else:
            own = own[rank::world_size]
        self.starts = own * self.length if len(own) else np.asarray([len(text)])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, piece: Any) -> ChunkBatch:
        places = self.starts[:, None] + np.arange(piece.start, piece.start + piece.steps)
        ends = np.minimum(self.starts + self.length, len(self.text))
        inside = places < ends[:, None]
        targets = np.where(inside, self._at(places), IGNORED)
        before = places - 1
        inputs = np.where(inside & (before >= 0), self._at(before), self.end_id)
        return ChunkBatch(torch.from_numpy(inputs), torch.from_numpy(targets), piece.start == 0, int(inside.sum()))

    def _at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.text[np.clip(places, 0, len(self.text) - 1)].astype(np.int64)


class PieceSampler(Sampler[Piece]):
    """Cuts the length of the streams into pieces, in order; the same number in every epoch."""

    def __init__(self, length: int, *, chunk_length: int, variable: bool = False, seed: int = 0) -> None:
        """
        Args:
            length: steps of the streams.
            chunk_length: steps of a piece; the last one may be shorter.
            variable: lengths vary around `chunk_length`, one in twenty around half of it, other ones in every epoch.
            seed: of the lengths.
        """
        self.length, self.chunk_length = length, chunk_length
        self.variable, self.seed, self.epoch = variable, seed, 0
        self._seen = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch's lengths."""
        self.epoch = epoch

    def start_at(self, epoch: int, piece: int) -> None:
        """Goes to an epoch and leaves out its first pieces, which were seen before; other epochs are whole."""
        self.epoch, self._seen = epoch, (epoch, piece)

    def __len__(self) -> int:
        return -(-self.length // self.chunk_length)

    def __iter__(self) -> Iterator[Piece]:
        epoch, seen = self._seen
        borders = self._borders()
        pieces = [Piece(start, end - start) for start, end in pairwise(borders)]
        yield from pieces[seen if self.epoch == epoch else 0 :]

    def _borders(self) -> list[int]:
        if not self.variable:
            return [*range(0, self.length, self.chunk_length), self.length]
        random = np.random.default_rng([self.seed, self.epoch])
        typical = np.where(random.random(len(self)) < HALF_SHARE, self.chunk_length / 2, self.chunk_length)
        drawn = np.maximum(random.normal(typical, min(SPREAD, self.chunk_length / 4)), 1.0)
        ends = np.round(drawn.cumsum() / drawn.sum() * self.length).astype(int)
        return [0, *sorted({*ends.tolist()} - {0})] if len({*ends.tolist()} - {0}) == len(self) else self._even()

    def _even(self) -> list[int]:
        """Borders for texts so short that pieces would vanish."""
        return np.linspace(0, self.length, len(self) + 1).round().astype(int).tolist()
