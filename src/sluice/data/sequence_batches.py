"""Batches of sequences with an answer for each step or each sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sluice.data.batch import Batch
from sluice.data.batches import pad
from sluice.data.ragged import Ragged
from sluice.data.synthetic.sequences import IGNORED, Sequences


class RaggedSequences(NamedTuple):
    """Sequences of ids of different lengths, each with a class for every step."""

    inputs: Ragged
    targets: Ragged
    """With the offsets of the inputs; IGNORED where there is nothing to answer."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) steps of each sequence."""
        return self.inputs.lengths


@dataclass
class SequenceBatch(Batch):
    """A padded batch of sequences."""

    moved: ClassVar[tuple[str, ...]] = ("inputs", "targets")

    inputs: Tensor
    """(B, T) int64 ids, PADDING_ID beyond each length, or (B, T, D) features."""
    targets: Tensor
    """(B,), (B, T) or (B, T, K): int64 classes, IGNORED beyond each length, or float values."""
    lengths: Tensor
    """(B,) int64, always on the CPU."""
    index: Tensor
    """(B,) int64, each sequence's place in its split; on the CPU."""
    first: bool = True
    """Whether the sequences begin here: what was carried from another batch doesn't belong to it."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """Steps without the padding."""
        return int(self.lengths.sum())


class SequenceBatchMaker:
    """Turns the indices of a batch into a SequenceBatch: a DataLoader's collate function."""

    def __init__(self, split: Sequences | RaggedSequences) -> None:
        self.split = split

    def __call__(self, indices: Sequence[int]) -> SequenceBatch:
        index = np.asarray(indices, dtype=np.int64)
        if isinstance(self.split, Sequences):
            inputs, targets = (torch.from_numpy(part[index]) for part in self.split)
            return SequenceBatch(inputs, targets, torch.from_numpy(self.split.lengths[index]), torch.from_numpy(index))
        longest = int(self.split.lengths[index].max())
        inputs, lengths = pad(self.split.inputs, index, longest, "head")
        targets, _ = pad(self.split.targets, index, longest, "head")
        targets[torch.arange(longest) >= lengths.unsqueeze(1)] = IGNORED
        return SequenceBatch(inputs, targets, lengths, torch.from_numpy(index))


class ChunkedStreams(Dataset[SequenceBatch]):
    """Streams side by side; what is asked for is a piece of their steps, and what comes is the batch of it."""

    def __init__(self, streams: Sequences) -> None:
        self.streams = streams

    def __len__(self) -> int:
        """Steps of the streams."""
        return int(self.streams.inputs.shape[1])

    def __getitem__(self, piece: Any) -> SequenceBatch:
        end = piece.start + piece.steps
        inputs, targets = (torch.from_numpy(part[:, piece.start : end].copy()) for part in self.streams)
        rows = torch.arange(len(inputs))
        return SequenceBatch(inputs, targets, torch.full_like(rows, piece.steps), rows, first=piece.start == 0)
