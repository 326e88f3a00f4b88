"""The DataModules of sequences with an answer for each step or each sequence."""

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from sluice.data.chunks import PieceSampler
from sluice.data.resumable import ResumableData
from sluice.data.samplers import BucketBatchSampler
from sluice.data.sequence_batches import ChunkedStreams, RaggedSequences, SequenceBatch, SequenceBatchMaker
from sluice.data.synthetic.sequences import Sequences
from sluice.errors import UserError

Split = Sequences | RaggedSequences


class SequenceData(ResumableData):
    """Sequences in batches of like length, in another order in every epoch."""

    def __init__(
        self,
        *,
        splits: Callable[[str], Split],
        batch_size: int = 64,
        max_tokens: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            splits: gives "train", "val" and "test", each asked for once.
            batch_size: sequences in a training batch on one rank; evaluation takes four times as many.
            max_tokens: budget of a training batch on one rank, padding counted; None for no budget.
            num_workers: loader processes.
            seed: of the training order.
        """
        super().__init__()
        self._make, self._splits = splits, dict[str, Split]()
        self.batch_size, self.max_tokens = batch_size, max_tokens
        self.num_workers, self.seed = num_workers, seed

    def split(self, name: str) -> Split:
        """The sequences of a split; made on first use."""
        if name not in self._splits:
            self._splits[name] = self._make(name)
        return self._splits[name]

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        return self._loader("train", self.batch_size, self.max_tokens, shuffle=True)

    def val_dataloader(self) -> DataLoader[SequenceBatch]:
        return self._loader("val", 4 * self.batch_size)

    def test_dataloader(self) -> DataLoader[SequenceBatch]:
        return self._loader("test", 4 * self.batch_size)

    def _loader(
        self, name: str, batch_size: int, max_tokens: int | None = None, shuffle: bool = False
    ) -> DataLoader[SequenceBatch]:
        split = self.split(name)
        rank, world_size = self.place
        count = len(split.lengths)
        if count < world_size:
            raise UserError(f"the {name} split has {count} sequences, too few for {world_size} processes")
        sampler = BucketBatchSampler(
            split.lengths,
            batch_size=batch_size if shuffle else min(batch_size, count // world_size),
            max_tokens=max_tokens,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        if shuffle:
            sampler.start_at(*self._start)
        return DataLoader(
            range(count),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=SequenceBatchMaker(split),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )


class StreamData(ResumableData):
    """Streams that run side by side, a chunk of steps a batch, in order; each rank has streams of its own."""

    def __init__(self, *, splits: Callable[[str], Sequences], chunk: int) -> None:
        """
        Args:
            splits: gives the streams of "train", "val" and "test".
            chunk: steps of a batch.
        """
        super().__init__()
        self._make, self.chunk = splits, chunk

    def split(self, name: str) -> Sequences:
        """The streams of a split."""
        return self._make(name)

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        rank, world_size = self.place
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
        rank, world_size = self.place
        streams = self._make(name)
        if len(streams.inputs) < world_size:
            raise UserError(f"the {name} split has {len(streams.inputs)} streams, too few for {world_size} processes")
        return self._loader(streams, rank, world_size)

    def _loader(
        self, streams: Sequences, rank: int, world_size: int, start: tuple[int, int] = (0, 0)
    ) -> DataLoader[SequenceBatch]:
        dataset = ChunkedStreams(Sequences(*(part[rank::world_size] for part in streams)))
        sampler = PieceSampler(len(dataset), chunk_length=self.chunk)
        sampler.start_at(*start)
        return DataLoader(dataset, batch_size=None, sampler=sampler, pin_memory=torch.cuda.is_available())
