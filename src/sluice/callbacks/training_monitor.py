"""Throughput, gradient norm and learning rate."""

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
    """Logs train/{counted}_per_second every `log_every_n_steps` optimizer steps.

    The count of rank 0 is multiplied by the number of ranks. Time includes data loading, but not validation.
    """

    counted: ClassVar[str]
    """Attribute of a batch that is counted: "tokens" (without padding) or "pairs"."""
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
        """Mean throughput since the start of training, per second."""
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
    """Logs train/pairs_per_second for word2vec: pairs of a word and a context word."""

    counted, stored_as = "pairs", "PairSpeed"


class TrainingMonitor(Throughput):
    """Logs throughput, gradient norm and learning rate every `log_every_n_steps` optimizer steps.

    The metrics are train/tokens_per_second, train/gradient_norm (before clipping) and train/learning_rate. Lightning's
    LearningRateMonitor is not used: it adds a separate row to metrics.csv, under the name of the optimizer's class.
    """

    counted, stored_as = "tokens", "Vitals"

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if is_logged_step(trainer):
            pl_module.log("train/gradient_norm", gradient_norm(pl_module))
            pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])


def gradient_norm(module: nn.Module) -> Tensor:
    """Total Euclidean norm of the gradients of all parameters.

    Lightning's `grad_norm` copies the norm of each parameter from the device, and torch's `get_total_norm` doesn't
    support sparse gradients.
    """
    norms = [parameter.grad.norm() for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack(norms).norm()
