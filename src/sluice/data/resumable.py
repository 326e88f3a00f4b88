"""Knowing where in the training data a run is."""

from typing import Any

import pytorch_lightning as pl

from sluice.data.identity import DataIdentity


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
    def place(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
