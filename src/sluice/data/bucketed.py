"""Training on batches of items of like length."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.resumable import ResumableData
from sluice.data.samplers import BucketBatchSampler
from sluice.data.staged_sampler import StagedBatchSampler
from sluice.errors import UserError


class BucketedData(ResumableData):
    """Items in batches of like length, shared out among the processes; a subclass has `loader`."""

    items: ClassVar[str]
    """What a split has: texts, pairs."""
    evaluation_factor: ClassVar[int] = 4
    """How many training batches are one of evaluation."""

    def __init__(self, *, batch_size: int, num_workers: int, seed: int, max_tokens: int | None = None) -> None:
        """
        Args:
            batch_size: items in a training batch on one rank.
            num_workers: loader processes.
            seed: of the training order.
            max_tokens: budget of a training batch on one rank, padding counted; None for no budget.
        """
        super().__init__()
        self.batch_size, self.num_workers, self.seed, self.max_tokens = batch_size, num_workers, seed, max_tokens

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[Any]:
        """A split in batches, this process's share; those of training are shuffled."""
        raise NotImplementedError

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader("test")

    def bucketed(
        self,
        name: str,
        keys: NDArray[np.int64],
        make: Callable[[list[int]], Any],
        *,
        shuffle: bool,
        max_tokens: int | None = None,
    ) -> DataLoader[Any]:
        """This process's share of a split in batches.

        Args:
            name: "train", "val" or "test".
            keys: what each item is sorted by, its length.
            make: a batch of items by their places.
            shuffle: for training, from where the run is in it.
            max_tokens: budget of a training batch, in units of the keys.

        Raises:
            UserError: if there are too few items for all processes.
        """
        count, world_size = len(keys), self.place[1]
        if count < world_size:
            raise UserError(f"the {name} split has {count} {self.items}, too few for {world_size} processes")
        if shuffle:
            sampler = self.sampler(keys, batch_size=self.batch_size, max_tokens=max_tokens, shuffle=True)
            sampler.start_at(*self._start)
        else:  # every rank has something to measure
            batch_size = min(self.evaluation_factor * self.batch_size, count // world_size)
            sampler = self.sampler(keys, batch_size=batch_size, max_tokens=None, shuffle=False)
        return DataLoader(
            range(count),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=make,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
        )

    def sampler(
        self, keys: NDArray[np.int64], *, batch_size: int, max_tokens: int | None, shuffle: bool
    ) -> BucketBatchSampler | StagedBatchSampler:
        """Cuts a split into batches: this process's share; see BucketBatchSampler for what is given."""
        rank, world_size = self.place
        return BucketBatchSampler(
            keys,
            batch_size=batch_size,
            max_tokens=max_tokens,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
