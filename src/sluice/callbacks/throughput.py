"""How fast training goes through its data."""

import time
from typing import Any, ClassVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class Speed(Callback):
    """Logs how much a second is trained on, every `log_every_n_steps`.

    The first rank's times the number of ranks; the clock runs from one step's end to the next, so that the loader is in
    it, and stops during validation.
    """

    counted: ClassVar[str]
    """The attribute of a batch that says how much it has: tokens, without padding, or pairs."""

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0
        self._since = 0.0
        self._logged = (0, 0.0)

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
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self.count += getattr(batch, self.counted) * trainer.world_size
        self._since = now
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            count, seconds = self.count - self._logged[0], self.seconds - self._logged[1]
            self._logged = (self.count, self.seconds)
            name = f"train/{self.counted}_per_second"
            pl_module.log(name, count / seconds, batch_size=len(batch))


class PairSpeed(Speed):
    """Of words paired with the words near them."""

    counted = "pairs"
