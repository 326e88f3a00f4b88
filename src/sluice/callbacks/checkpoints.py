"""Checkpoints that are whole, or not there."""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.trainer.states import TrainerFn


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, and moves it into place: a kill never leaves half a file under the name."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt, the weights with the best value of the task's monitored metric."""

    def __init__(self, *, run_dir: str, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=run_dir,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )


class LastCheckpoint(Callback):
    """Keeps last.ckpt, everything training needs to go on: after each epoch, and when training is broken off."""

    def __init__(self, *, run_dir: str) -> None:
        self.path = Path(run_dir) / "last.ckpt"

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        broken_off = isinstance(exception, KeyboardInterrupt) and trainer.state.fn == TrainerFn.FITTING
        if broken_off and trainer.global_step > 0:
            trainer.save_checkpoint(self.path)
