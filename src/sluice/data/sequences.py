"""The DataModules of sequences with targets per step or per sequence."""

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader, Dataset

from sluice.data.collate import SequenceBatch, SequenceCollator
from sluice.data.datamodule import BucketedData, ResumableData
from sluice.data.identity import DataIdentity
from sluice.data.ragged import RaggedSequences, Sequences
from sluice.data.samplers import Chunk, ChunkSampler
from sluice.errors import SharedError


class ChunkedStreams(Dataset[SequenceBatch]):
    """Parallel streams, indexed by chunks of their steps."""

    def __init__(self, streams: Sequences) -> None:
        self.streams = streams

    def __len__(self) -> int:
        """Number of steps of the streams."""
        return int(self.streams.inputs.shape[1])

    def __getitem__(self, chunk: Chunk) -> SequenceBatch:
        end = chunk.start + chunk.steps
        inputs, targets = (torch.from_numpy(part[:, chunk.start : end].copy()) for part in self.streams)
        rows = torch.arange(len(inputs))
        return SequenceBatch(inputs, targets, torch.full_like(rows, chunk.steps), rows, first=chunk.start == 0)


Split = Sequences | RaggedSequences


class SequenceData(BucketedData[SequenceBatch]):
    """Sequences in batches of similar length, reshuffled in every epoch.

    Example:
        >>> import numpy as np
        >>> sequences = Sequences(np.zeros((6, 5, 3), np.float32), np.arange(6))  # 6 sequences of 5 steps, 3 features
        >>> data = SequenceData(splits=lambda name: sequences, batch_size=2)
        >>> len(data.train_dataloader())
        3
        >>> next(iter(data.train_dataloader())).inputs.shape
        torch.Size([2, 5, 3])
    """

    items = "sequences"

    def __init__(
        self,
        *,
        splits: Callable[[str], Split],
        batch_size: int = 64,
        max_tokens: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        identity: DataIdentity | None = None,
    ) -> None:
        """
        Args:
            splits: returns the sequences of "train", "val" or "test"; called once for each.
            batch_size: sequences per rank in a training batch; evaluation batches are four times larger, unless
                they would have more than 65,536 tokens.
            max_tokens: maximum number of tokens per rank in a training batch, including padding; None for no limit.
            num_workers: loader processes.
            seed: seed of the training order.
            identity: identity of the sequences, for checkpoints.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self._identity = identity
        self._load, self._splits = splits, dict[str, Split]()

    def split(self, name: str) -> Split:
        """Returns the sequences of a split, loaded on first use."""
        if name not in self._splits:
            self._splits[name] = self._load(name)
        return self._splits[name]

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[SequenceBatch]:
        """Returns this rank's batches of a split.

        Raises:
            UserError: if there are fewer sequences than processes.
        """
        split = self.split(name)
        collate = SequenceCollator(split)
        return self.bucketed(name, split.lengths, collate, shuffle=shuffle, max_tokens=self.max_tokens)


class StreamData(ResumableData):
    """Parallel streams in consecutive chunks, one chunk per batch; the streams are split among the ranks."""

    def __init__(
        self, *, splits: Callable[[str], Sequences], chunk_length: int, identity: DataIdentity | None = None
    ) -> None:
        """
        Args:
            splits: returns the streams of "train", "val" or "test".
            chunk_length: steps per batch.
            identity: identity of the streams, for checkpoints.
        """
        super().__init__(identity)
        self._load, self.chunk_length = splits, chunk_length

    def split(self, name: str) -> Sequences:
        """Returns the streams of a split."""
        return self._load(name)

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        rank, world_size = self.rank_and_world_size
        streams = self._load("train")
        if len(streams.inputs) % world_size:
            raise SharedError(
                f"{len(streams.inputs)} training streams cannot be split among {world_size} processes: "
                "choose a multiple"
            )
        return self._loader(streams, rank, world_size, start=self._start)

    def val_dataloader(self) -> DataLoader[SequenceBatch]:
        return self._evaluation("val")

    def test_dataloader(self) -> DataLoader[SequenceBatch]:
        return self._evaluation("test")

    def _evaluation(self, name: str) -> DataLoader[SequenceBatch]:
        rank, world_size = self.rank_and_world_size
        streams = self._load(name)
        if len(streams.inputs) < world_size:
            raise SharedError(f"the {name} split has {len(streams.inputs)} streams, too few for {world_size} processes")
        return self._loader(streams, rank, world_size)

    def _loader(
        self, streams: Sequences, rank: int, world_size: int, start: tuple[int, int] = (0, 0)
    ) -> DataLoader[SequenceBatch]:
        dataset = ChunkedStreams(Sequences(*(part[rank::world_size] for part in streams)))
        sampler = ChunkSampler(len(dataset), chunk_length=self.chunk_length)
        sampler.start_at(*start)
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=self.pin_memory)
