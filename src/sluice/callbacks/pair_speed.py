"""How fast words are paired with the words near them."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class PairSpeed(Callback):
    """Logs pairs a second every `log_every_n_steps`; the clock has the loader in it, and stops during validation."""

    def __init__(self) -> None:
        self.pairs, self.seconds = 0, 0.0
        self._since = 0.0
        self._logged = (0, 0.0)

    @property
    def pairs_per_second(self) -> float:
        """Over the whole training so far."""
        return self.pairs / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, float]:
        return {"pairs": self.pairs, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.pairs, self.seconds = int(state["pairs"]), state["seconds"]
        self._logged = (self.pairs, self.seconds)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self.pairs += batch.pairs
        self._since = now
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            pairs, seconds = self.pairs - self._logged[0], self.seconds - self._logged[1]
            self._logged = (self.pairs, self.seconds)
            pl_module.log("train/pairs_per_second", pairs / seconds, batch_size=len(batch))
