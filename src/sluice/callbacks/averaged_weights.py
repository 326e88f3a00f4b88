"""Validation and checkpoints with averaged weights: what all kinds of averaging have in common, and that of NT-ASGD."""

from abc import abstractmethod

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from sluice.optim.nt_asgd import NTASGD


class AveragedEvaluation(Checkpoint):
    """Evaluates and saves averaged weights, and trains on the raw ones.

    The averages replace the weights from the start to the end of each validation, and at the end of training. They are
    saved in every checkpoint of weights only, also outside of validation: `TaskModule.on_save_checkpoint` calls
    `averaged_state`. Subclass of Checkpoint because Lightning calls these callbacks last, so that other callbacks
    see the averages in `on_validation_end`.
    """

    _swapped = False
    """Whether the module has the averages."""

    @abstractmethod
    def swap(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exchanges the weights and their averages; does nothing before averaging has started."""

    def averaged_state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Tensor]:
        """Returns the state dict of the module with averaged weights; that of the weights before averaging starts."""
        if self._swapped:
            return dict(pl_module.state_dict())
        self.swap(trainer, pl_module)
        state = {name: tensor.detach().clone() for name, tensor in pl_module.state_dict().items()}
        self.swap(trainer, pl_module)
        return state

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.swap(trainer, pl_module)
            self._swapped = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._swapped:
            self.swap(trainer, pl_module)
            self._swapped = False

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the averages in the module, after last.ckpt has been saved."""
        self.swap(trainer, pl_module)


class AveragedWeights(AveragedEvaluation):
    """Evaluates the averaged weights of NT-ASGD, and passes val/loss to the optimizer.

    Has no effect with other optimizers. Lightning's WeightAveraging cannot be used: NT-ASGD starts averaging depending
    on the validation losses, and stores the average in the optimizer's state.
    """

    def swap(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for optimizer in _averaging(trainer):
            optimizer.swap()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not trainer.sanity_checking:
            for optimizer in _averaging(trainer):
                optimizer.record_validation(float(loss))


def _averaging(trainer: pl.Trainer) -> list[NTASGD]:
    return [optimizer for optimizer in trainer.optimizers if isinstance(optimizer, NTASGD)]
