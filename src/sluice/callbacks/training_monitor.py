"""How training fares: throughput, gradient norm, learning rate."""

import time
from collections.abc import Sized
from typing import ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer

from sluice.lightning_internals import is_logged_step


class Throughput(Callback):
    """Logs how much a second is trained on, every `log_every_n_steps`.

    The first rank's times the number of ranks; the clock runs from one step's end to the next, so that the loader is in
    it, and stops during validation.
    """

    counted: ClassVar[str]
    """The attribute of a batch that says how much it has: tokens, without padding, or pairs."""
    stored_as: ClassVar[str]
    """The callback's key in checkpoints."""

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0
        self._since = 0.0
        self._logged = (0, 0.0)

    @property
    def state_key(self) -> str:
        return self.stored_as

    @property
    def per_second(self) -> float:
        """Over the whole training so far."""
        return self.count / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, float]:
        return {self.counted: self.count, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.count, self.seconds = int(state[self.counted]), state["seconds"]
        self._logged = (self.count, self.seconds)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Sized, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self.count += getattr(batch, self.counted, 0) * trainer.world_size
        self._since = now
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            count, seconds = self.count - self._logged[0], self.seconds - self._logged[1]
            self._logged = (self.count, self.seconds)
            name = f"train/{self.counted}_per_second"
            pl_module.log(name, count / seconds, batch_size=len(batch))


class PairThroughput(Throughput):
    """Of words paired with the words near them."""

    counted, stored_as = "pairs", "PairSpeed"


class TrainingMonitor(Throughput):
    """Logs tokens a second, the gradient's norm before clipping and the learning rate, every `log_every_n_steps`.

    Instead of Lightning's LearningRateMonitor, which writes a row of its own into metrics.csv under the name of the
    optimiser's class.
    """

    counted, stored_as = "tokens", "Vitals"

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if is_logged_step(trainer):
            pl_module.log("train/gradient_norm", gradient_norm(pl_module))
            pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm of all gradients together.

    Instead of Lightning's `grad_norm`, which reads the norm of each parameter back from the device, and torch's
    `get_total_norm`, which refuses sparse gradients.
    """
    norms = [parameter.grad.norm() for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack(norms).norm()
