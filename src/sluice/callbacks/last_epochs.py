"""The weights of the last epochs, to be averaged."""

from pytorch_lightning.callbacks import ModelCheckpoint

NAME = "epoch"
"""Of the files, `epoch-N.ckpt`."""


class LastEpochs(ModelCheckpoint):
    """Saves epoch-N.ckpt, the weights after each of the last epochs."""

    def __init__(self, *, run_dir: str, count: int = 5) -> None:
        """
        Args:
            run_dir: the run's folder.
            count: number of files that are kept.
        """
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
