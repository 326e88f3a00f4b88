"""Base classes of the DataModules: resuming in the middle of an epoch, and batches of similar length."""

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.collate import AnyBatch, Batch
from sluice.data.corpus import Corpus
from sluice.data.identity import DataIdentity
from sluice.data.samplers import BucketBatchSampler, StagedBatchSampler, evaluation_tokens
from sluice.errors import SharedError


class CorpusData(Protocol):
    """Interface of a LightningDataModule over a corpus."""

    @property
    def corpus(self) -> Corpus:
        """The corpus."""

    @property
    def identity(self) -> DataIdentity:
        """Fingerprint of the sources and splits, compared when a run is resumed or its model is evaluated."""

    def prepare_data(self) -> None:
        """Prepares and caches the data."""

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training split."""

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split."""

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split."""


class ResumableData(pl.LightningDataModule):
    """A DataModule that saves its position in the training data in checkpoints."""

    def __init__(self, identity: DataIdentity | None = None) -> None:
        """
        Args:
            identity: identity of data that need no preparation; None to take it from `prepared`.
        """
        super().__init__()
        self._identity = identity
        self._start = (0, 0)
        """Epoch and batch at which training starts, for the sampler's `start_at`."""

    def state_dict(self) -> dict[str, int]:
        """Returns the current epoch and the number of its batches already processed."""
        if self.trainer is None:
            return {"epoch": 0, "batch": 0}
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"epoch": self.trainer.current_epoch, "batch": progress.processed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = (state["epoch"], state["batch"])

    @property
    def prepared(self) -> Any:
        """The data, prepared on first use; None if there is nothing to prepare."""
        return None

    def prepare_data(self) -> None:
        """Prepares the data; later calls return immediately."""
        _ = self.prepared

    @property
    def pin_memory(self) -> bool:
        """Whether batches are copied to pinned memory: only if they are then moved to a CUDA device."""
        trainer = self.trainer
        return isinstance(trainer, pl.Trainer) and trainer.strategy.root_device.type == "cuda"

    @property
    def identity(self) -> DataIdentity:
        """Identity of the sources and splits; prepares the data if necessary."""
        return self._identity or self.prepared.identity

    @property
    def rank_and_world_size(self) -> tuple[int, int]:
        """Global rank of this process and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


class BucketedData(ResumableData, Generic[AnyBatch]):
    """A DataModule with batches of similar length, split among the processes; subclasses implement `loader`."""

    items: ClassVar[str]
    """Plural name of the items of a split, for error messages: "texts", "pairs"."""
    evaluation_factor: ClassVar[int] = 4
    """Ratio of the evaluation batch size to the training batch size."""

    def __init__(self, *, batch_size: int, num_workers: int, seed: int, max_tokens: int | None = None) -> None:
        """
        Args:
            batch_size: items per rank in a training batch.
            num_workers: loader processes.
            seed: seed of the training order.
            max_tokens: maximum number of tokens per rank in a training batch, including padding; None for no limit.
        """
        super().__init__()
        self.batch_size, self.num_workers, self.seed, self.max_tokens = batch_size, num_workers, seed, max_tokens

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[AnyBatch]:
        """Returns this rank's batches of a split.

        Args:
            name: "train", "val" or "test".
            shuffle: whether to shuffle, for training.
        """
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
        collate: Callable[[list[int]], AnyBatch],
        *,
        shuffle: bool,
        max_tokens: int | None = None,
        scale: int = 1,
    ) -> DataLoader[AnyBatch]:
        """Returns a loader of this rank's batches of a split.

        Args:
            name: "train", "val" or "test".
            keys: (N,) sort key of each item, usually its length.
            collate: builds a batch from item indices.
            shuffle: whether to shuffle, for training; starts at the restored position.
            max_tokens: maximum size of a training batch, in units of the keys; evaluation batches may be larger.
            scale: units of the keys per token.

        Raises:
            UserError: if there are fewer items than processes.
        """
        count, world_size = len(keys), self.rank_and_world_size[1]
        if count < world_size:
            raise SharedError(f"the {name} split has {count} {self.items}, too few for {world_size} processes")
        if shuffle:
            sampler = self.sampler(keys, batch_size=self.batch_size, max_tokens=max_tokens, shuffle=True)
            sampler.start_at(*self._start)
        else:  # at least one batch per rank
            batch_size = min(self.evaluation_factor * self.batch_size, count // world_size)
            most = evaluation_tokens(keys, self.batch_size, max_tokens=max_tokens, scale=scale)
            sampler = self.sampler(keys, batch_size=batch_size, max_tokens=most, shuffle=False)
        return DataLoader(
            range(count),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
        )

    def sampler(
        self, keys: NDArray[np.int64], *, batch_size: int, max_tokens: int | None, shuffle: bool
    ) -> BucketBatchSampler | StagedBatchSampler:
        """Returns the batch sampler of this rank; the arguments are those of BucketBatchSampler."""
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
