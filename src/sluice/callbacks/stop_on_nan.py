"""Stopping training when the loss or the monitored metric is NaN or infinite."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from sluice.errors import SharedError
from sluice.plain import Plain


class StopOnNaN(Callback):
    """Stops training with an error if the loss, or the validation loss or monitored metric, is NaN or infinite.

    The check is accumulated on the device, and read every `log_every_n_steps` optimizer steps, before validation and
    before saving a checkpoint. All other steps don't wait for the device. Validation metrics are read once, at the
    end of validation.
    """

    def __init__(self, monitor: str) -> None:
        """Args: monitor: the monitored metric."""
        self._monitor = monitor
        self._failed: Tensor | None = None
        self._checked_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._checked_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            failed = ~torch.isfinite(loss.detach()).all()
            self._failed = failed if self._failed is None else self._failed | failed
        if trainer.global_step - self._checked_step >= trainer.log_every_n_steps:  # type: ignore[attr-defined]
            self._check(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks the validation metrics, which are equal on all ranks.

        Raises:
            SharedError: if the loss or the monitored metric is NaN or infinite.
        """
        if trainer.sanity_checking:
            return
        for name in dict.fromkeys((self._monitor, "val/loss")):
            value = trainer.callback_metrics.get(name)
            if value is not None and not bool(torch.isfinite(torch.as_tensor(value)).all()):
                raise SharedError(
                    f"the validation metric {name} is {float(value)} after optimizer step {trainer.global_step}: lower "
                    "optimizer.lr, check that the validation data suit the metric (F1 and AUROC need texts of two "
                    "classes), or set stop_on_nan=false to continue"
                )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Plain) -> None:
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        """Checks the losses since the last check.

        Raises:
            SharedError: on every rank, if a loss of any rank was NaN or infinite.
        """
        first, self._checked_step = self._checked_step + 1, trainer.global_step
        failed, self._failed = self._failed, None
        if trainer.world_size > 1:  # or the other ranks would wait for this one
            failed = (
                torch.zeros((), dtype=torch.bool, device=trainer.strategy.root_device) if failed is None else failed
            )
            failed = trainer.strategy.reduce(failed.float(), reduce_op="max")
        if failed is None or not bool(failed):
            return
        norm = trainer.callback_metrics.get("train/gradient_norm")
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        raise SharedError(
            f"the training loss became NaN or infinite between optimizer steps {min(first, trainer.global_step)} and "
            f"{trainer.global_step} (learning rate {rate:.3g}, gradient norm "
            f"{'unknown' if norm is None else format(float(norm), '.3g')}): lower optimizer.lr, set "
            "trainer.gradient_clip_val to a smaller norm, or set stop_on_nan=false to continue training"
        )
