"""Checkpoints of the last epochs, for weight averaging."""

import pytorch_lightning as pl

from sluice.callbacks.checkpoints import MovableCheckpoint

NAME = "epoch"
"""Prefix of the files `epoch-N.ckpt`."""


class LastEpochs(MovableCheckpoint):
    """Saves the weights of the last `count` epochs, N = 0, 1, ..., to epoch-N.ckpt; `sluice average` averages them.

    They are saved at the end of each epoch, however often the network is validated.
    """

    def __init__(self, *, run_dir: str, count: int = 5) -> None:
        """
        Args:
            run_dir: the run's folder.
            count: number of epochs.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        super().__init__(
            dirpath=run_dir,
            filename=NAME + "-{epoch}",
            monitor="epoch",
            mode="max",
            save_top_k=count,
            save_weights_only=True,
            save_on_train_epoch_end=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Deletes the files of the oldest epochs if a run is resumed with a smaller `count`."""
        super().on_train_start(trainer, pl_module)
        oldest_first = sorted(self.best_k_models, key=lambda path: float(self.best_k_models[path]))
        for path in oldest_first[: -self.save_top_k]:
            del self.best_k_models[path]
            trainer.strategy.remove_checkpoint(path)
        if len(self.best_k_models) == self.save_top_k:
            self.kth_best_model_path = oldest_first[-self.save_top_k]
            self.kth_value = self.best_k_models[self.kth_best_model_path]
