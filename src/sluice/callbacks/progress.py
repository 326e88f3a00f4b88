"""What a person sees while it trains: a bar on a terminal, quiet lines in a log."""

import logging
import sys
import time
from typing import TypeAlias

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from torch import Tensor

log = logging.getLogger(__name__)

LINE_EVERY = 60.0
"""Seconds between two lines within an epoch."""

READ_EVERY = 0.5
"""Seconds between two readings of the metrics for the progress bar."""

_SHORT = {
    "train/loss": "loss",
    "train/accuracy": "acc",
    "train/tokens_per_second": "tokens/s",
    "train/pairs_per_second": "pairs/s",
    "val/accuracy": "val acc",
    "val/loss": "val loss",
    "val/perplexity": "val ppl",
    "val/bleu_lowercase": "val BLEU lower-cased",
}

Shown: TypeAlias = int | str | float | dict[str, float]
"""What Lightning's progress bar shows of a metric."""


def _figure(value: float | Tensor) -> str:
    """Four digits, or all before the point."""
    value = float(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def make_progress() -> Callback:
    """A progress bar where standard output is a terminal, else lines."""
    return ProgressBar() if sys.stdout.isatty() else ProgressLines()


class ProgressBar(RichProgressBar):
    """Rich's bar with short names and whole numbers."""

    def __init__(self) -> None:
        super().__init__(leave=True, theme=RichProgressBarTheme(metrics_format=".4g"))

        self._read_at = 0.0
        self._shown: dict[str, Shown] = {}

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Shown]:
        """The latest metrics, read from the device at most once in `READ_EVERY` seconds: reading waits for a GPU."""
        now = time.monotonic()
        if now - self._read_at >= READ_EVERY:
            self._read_at = now
            metrics = trainer.callback_metrics
            self._shown = {short: _figure(metrics[name]) for name, short in _SHORT.items() if name in metrics}
        return self._shown

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_at = 0.0
        super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_at = 0.0
        super().on_validation_end(trainer, pl_module)


class ProgressLines(Callback):
    """A line an epoch, and one a minute in between."""

    def __init__(self) -> None:
        self._last = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.is_global_zero and time.monotonic() - self._last > LINE_EVERY:
            done = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            self._say(trainer, done, ("train/loss", "train/tokens_per_second"))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._say(trainer, "done", tuple(_SHORT))

    def _say(self, trainer: pl.Trainer, done: str, names: tuple[str, ...]) -> None:
        self._last = time.monotonic()
        values = {_SHORT[name]: trainer.callback_metrics.get(name) for name in names}
        figures = ", ".join(f"{name} {_figure(value)}" for name, value in values.items() if value is not None)
        log.info("epoch %d/%s, %s: %s", trainer.current_epoch + 1, trainer.max_epochs, done, figures)
