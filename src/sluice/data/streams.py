"""A text in parallel streams, cut into chunks for truncated backpropagation through time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sluice.data.collate import Batch
from sluice.data.samplers import Chunk
from sluice.layers.output_loss import IGNORED


@dataclass
class ChunkBatch(Batch):
    """A chunk: the same steps of every stream."""

    moved: ClassVar[tuple[str, ...]] = ("inputs", "targets")

    inputs: Tensor
    """(B, T) int64, the token before each target."""
    targets: Tensor
    """(B, T) int64, `IGNORED` beyond the end of a stream."""
    first: bool
    """True if the streams begin with this chunk, so that no recurrent state is carried over from the previous one."""
    tokens: int
    """Number of targets that are not `IGNORED`."""

    def __len__(self) -> int:
        return len(self.inputs)


class Streams(Dataset[ChunkBatch]):
    """A text cut into parallel streams of equal length; each process reads some of them.

    Every token of the text is predicted once, the first one from the end-of-line token. The last streams may be
    shorter.
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
            streams: S, number of streams over all processes.
            end_id: id of the end-of-line token, the input before the first token.
            rank: rank of this process.
            world_size: number of processes.
            contiguous: give each process the same number of consecutive streams. Otherwise streams are distributed
                round-robin, and a process without a stream reads an empty one, all of whose targets are `IGNORED`.
        """
        self.text, self.end_id = text, end_id
        self.length = -(-len(text) // streams)
        numbers = np.arange(streams)
        if contiguous:
            per_rank = streams // world_size
            numbers = numbers[rank * per_rank : (rank + 1) * per_rank]
        else:
            numbers = numbers[rank::world_size]
        self.starts = numbers * self.length if len(numbers) else np.asarray([len(text)])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, chunk: Chunk) -> ChunkBatch:
        positions = self.starts[:, None] + np.arange(chunk.start, chunk.start + chunk.steps)
        ends = np.minimum(self.starts + self.length, len(self.text))
        inside = positions < ends[:, None]
        targets = np.where(inside, self._at(positions), IGNORED)
        before = positions - 1
        inputs = np.where(inside & (before >= 0), self._at(before), self.end_id)
        return ChunkBatch(torch.from_numpy(inputs), torch.from_numpy(targets), chunk.start == 0, int(inside.sum()))

    def _at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.text[np.clip(positions, 0, len(self.text) - 1)].astype(np.int64)
