"""Checkpoints of the last epochs, for weight averaging."""

from sluice.callbacks.checkpoints import MovableCheckpoint

NAME = "epoch"
"""Prefix of the files `epoch-N.ckpt`."""


class LastEpochs(MovableCheckpoint):
    """Saves the weights of the last `count` epochs, N = 0, 1, ..., to epoch-N.ckpt; `sluice average` averages them."""

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
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
