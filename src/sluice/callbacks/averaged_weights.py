"""The averaged weights of NT-ASGD in validation."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from sluice.optim.nt_asgd import NTASGD


class AveragedWeights(Checkpoint):
    """Validates the average of the weights in place of the weights, and reports val/loss to the optimiser.

    Only with NT-ASGD; any other optimiser is left alone. Instead of Lightning's WeightAveraging, since NT-ASGD decides
    from the validations when the average begins, and keeps it in its own state. It is a Checkpoint because Lightning
    calls these last, in the given order: give it after the ModelCheckpoints, whose files then hold the average where
    they are written in `on_validation_end`.
    """

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for optimizer in _averaging(trainer):
            optimizer.swap()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        for optimizer in _averaging(trainer):
            optimizer.swap()
            if loss is not None:
                optimizer.record_validation(float(loss))


def _averaging(trainer: pl.Trainer) -> list[NTASGD]:
    """The optimisers that average; none before training, where Lightning only checks that validation works."""
    if trainer.sanity_checking:
        return []
    return [optimizer for optimizer in trainer.optimizers if isinstance(optimizer, NTASGD)]
