"""How training fares: speed, gradient norm, learning rate."""

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer


class Vitals(Callback):
    """Logs tokens a second, the gradient's norm before clipping and the learning rate, every `log_every_n_steps`.

    Tokens are counted without padding, the first rank's times the number of ranks; the clock runs from one step's end
    to the next, so that the loader is in it, and stops during validation.
    """

    def __init__(self) -> None:
        self.tokens, self.seconds = 0, 0.0
        self._since = 0.0
        self._logged = (0, 0.0)

    @property
    def tokens_per_second(self) -> float:
        """Over the whole training so far."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, float]:
        return {"tokens": self.tokens, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.tokens, self.seconds = int(state["tokens"]), state["seconds"]
        self._logged = (self.tokens, self.seconds)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self.tokens += batch.tokens * trainer.world_size
        self._since = now
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            tokens, seconds = self.tokens - self._logged[0], self.seconds - self._logged[1]
            self._logged = (self.tokens, self.seconds)
            pl_module.log("train/tokens_per_second", tokens / seconds, prog_bar=True, batch_size=len(batch))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            pl_module.log("train/gradient_norm", gradient_norm(pl_module))
            pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm of all gradients together."""
    norms = [parameter.grad.norm() for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack(norms).norm()
