"""The DataModules of sequences with an answer for each step or each sequence."""

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader, Dataset

from sluice.data.collate import SequenceBatch, SequenceCollator
from sluice.data.datamodule import BucketedData, ResumableData
from sluice.data.identity import DataIdentity
from sluice.data.ragged import RaggedSequences, Sequences
from sluice.data.samplers import Chunk, ChunkSampler
from sluice.errors import UserError


class ChunkedStreams(Dataset[SequenceBatch]):
    """Streams side by side; what is asked for is a piece of their steps, and what comes is the batch of it."""

    def __init__(self, streams: Sequences) -> None:
        self.streams = streams

    def __len__(self) -> int:
        """Steps of the streams."""
        return int(self.streams.inputs.shape[1])

    def __getitem__(self, piece: Chunk) -> SequenceBatch:
        end = piece.start + piece.steps
        inputs, targets = (torch.from_numpy(part[:, piece.start : end].copy()) for part in self.streams)
        rows = torch.arange(len(inputs))
        return SequenceBatch(inputs, targets, torch.full_like(rows, piece.steps), rows, first=piece.start == 0)


Split = Sequences | RaggedSequences


class SequenceData(BucketedData[SequenceBatch]):
    """Sequences in batches of like length, in another order in every epoch."""

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
            splits: gives "train", "val" and "test", each asked for once.
            batch_size: sequences in a training batch on one rank; evaluation takes four times as many.
            max_tokens: budget of a training batch on one rank, padding counted; None for no budget.
            num_workers: loader processes.
            seed: of the training order.
            identity: what the sequences are.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self._identity = identity
        self._make, self._splits = splits, dict[str, Split]()

    def split(self, name: str) -> Split:
        """The sequences of a split; made on first use."""
        if name not in self._splits:
            self._splits[name] = self._make(name)
        return self._splits[name]

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[SequenceBatch]:
        """A split in batches, this process's share.

        Raises:
            UserError: if there are too few sequences for all processes.
        """
        split = self.split(name)
        make = SequenceCollator(split)
        return self.bucketed(name, split.lengths, make, shuffle=shuffle, max_tokens=self.max_tokens)


class StreamData(ResumableData):
    """Streams that run side by side, a chunk of steps a batch, in order; each rank has streams of its own."""

    def __init__(
        self, *, splits: Callable[[str], Sequences], chunk_length: int, identity: DataIdentity | None = None
    ) -> None:
        """
        Args:
            splits: gives the streams of "train", "val" and "test".
            chunk_length: steps of a batch.
            identity: what the streams are.
        """
        super().__init__(identity)
        self._make, self.chunk_length = splits, chunk_length

    def split(self, name: str) -> Sequences:
        """The streams of a split."""
        return self._make(name)

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        rank, world_size = self.rank_and_world_size
        streams = self._make("train")
        if len(streams.inputs) % world_size:
            raise UserError(
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
        streams = self._make(name)
        if len(streams.inputs) < world_size:
            raise UserError(f"the {name} split has {len(streams.inputs)} streams, too few for {world_size} processes")
        return self._loader(streams, rank, world_size)

    def _loader(
        self, streams: Sequences, rank: int, world_size: int, start: tuple[int, int] = (0, 0)
    ) -> DataLoader[SequenceBatch]:
        dataset = ChunkedStreams(Sequences(*(part[rank::world_size] for part in streams)))
        sampler = ChunkSampler(len(dataset), chunk_length=self.chunk_length)
        sampler.start_at(*start)
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=self.pin_memory)
