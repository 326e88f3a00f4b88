"""Validation with the averaged weights of NT-ASGD."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from sluice.optim.nt_asgd import NTASGD


class AveragedWeights(Checkpoint):
    """Swaps in the averaged weights of NT-ASGD during validation, and passes val/loss to the optimizer.

    Has no effect with other optimizers. Lightning's WeightAveraging cannot be used: NT-ASGD starts averaging depending
    on the validation losses, and stores the average in the optimizer's state. Subclass of Checkpoint because Lightning
    calls these callbacks last, in the given order: placed after the ModelCheckpoints, so that the checkpoints they save
    in `on_validation_end` contain the averaged weights.
    """

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for optimizer in _averaging(trainer):
            optimizer.swap()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        for optimizer in _averaging(trainer):
            optimizer.swap()
            if loss is not None:
                optimizer.validated(float(loss))


def _averaging(trainer: pl.Trainer) -> list[NTASGD]:
    """The NT-ASGD optimizers; none in Lightning's sanity check."""
    if trainer.sanity_checking:
        return []
    return [optimizer for optimizer in trainer.optimizers if isinstance(optimizer, NTASGD)]
