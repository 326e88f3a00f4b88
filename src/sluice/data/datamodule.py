"""What the DataModules share: resuming in the middle of an epoch, and batches of items of like length."""

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.collate import AnyBatch, Batch
from sluice.data.corpus import Corpus
from sluice.data.identity import DataIdentity
from sluice.data.samplers import BucketBatchSampler, StagedBatchSampler
from sluice.errors import UserError


class CorpusData(Protocol):
    """A LightningDataModule over a corpus."""

    @property
    def corpus(self) -> Corpus:
        """What it reads."""

    @property
    def identity(self) -> DataIdentity:
        """Its sources and splits, for comparison when a model is used or resumed."""

    def prepare_data(self) -> None:
        """Prepares and caches."""

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training split."""

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split."""

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split."""


class ResumableData(pl.LightningDataModule):
    """A DataModule whose place in the training data goes into checkpoints."""

    def __init__(self, identity: DataIdentity | None = None) -> None:
        """
        Args:
            identity: of data that are not prepared; None where `prepared` has it.
        """
        super().__init__()
        self._identity = identity
        self._start = (0, 0)
        """Epoch and batch that training begins with, for the sampler's `start_at`."""

    def state_dict(self) -> dict[str, int]:
        """Where in the training data the run is: its epoch and the batches of it that are done."""
        if self.trainer is None:
            return {"epoch": 0, "batch": 0}
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"epoch": self.trainer.current_epoch, "batch": progress.processed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = (state["epoch"], state["batch"])

    @property
    def prepared(self) -> Any:
        """The data, prepared on first use and then opened; None where there is nothing to prepare."""
        return None

    def prepare_data(self) -> None:
        """Prepares them, once however often Lightning asks: a large cache takes a while to be checked."""
        _ = self.prepared

    @property
    def pin_memory(self) -> bool:
        """Whether batches are made in page-locked memory: they are copied to a CUDA device."""
        trainer = self.trainer
        return isinstance(trainer, pl.Trainer) and trainer.strategy.root_device.type == "cuda"

    @property
    def identity(self) -> DataIdentity:
        """The fingerprint of the sources and the split; prepares the data."""
        return self._identity or self.prepared.identity

    @property
    def rank_and_world_size(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


class BucketedData(ResumableData, Generic[AnyBatch]):
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

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[AnyBatch]:
        """A split in batches, this process's share; those of training are shuffled."""
        raise NotImplementedError

    def train_dataloader(self) -> DataLoader[AnyBatch]:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[AnyBatch]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[AnyBatch]:
        return self.loader("test")

    def bucketed(
        self,
        name: str,
        keys: NDArray[np.int64],
        make: Callable[[list[int]], AnyBatch],
        *,
        shuffle: bool,
        max_tokens: int | None = None,
    ) -> DataLoader[AnyBatch]:
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
        count, world_size = len(keys), self.rank_and_world_size[1]
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
        rank, world_size = self.rank_and_world_size
        return BucketBatchSampler(
            keys,
            batch_size=batch_size,
            max_tokens=max_tokens,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
