"""Training progress: a progress bar on a terminal, log lines otherwise."""

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
"""Seconds between two log lines within an epoch."""

UPDATE_EVERY = 0.5
"""Seconds between two updates of the metrics in the progress bar."""

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

MetricValue: TypeAlias = int | str | float | dict[str, float]
"""A metric in Lightning's progress bar."""


def _format(value: float | Tensor) -> str:
    """The value with four significant digits; from 1000 on, rounded to an integer."""
    value = float(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def make_progress() -> Callback:
    """Returns a progress bar if standard output is a terminal, else log lines."""
    return ProgressBar() if sys.stdout.isatty() else ProgressLines()


class ProgressBar(RichProgressBar):
    """Lightning's RichProgressBar with short metric names."""

    def __init__(self) -> None:
        super().__init__(leave=True, theme=RichProgressBarTheme(metrics_format=".4g"))
        self._updated_at = 0.0
        self._metrics: dict[str, MetricValue] = {}

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, MetricValue]:
        """Returns the metrics, updated at most every `UPDATE_EVERY` seconds, since reading them waits for a GPU."""
        now = time.monotonic()
        if now - self._updated_at >= UPDATE_EVERY:
            self._updated_at = now
            metrics = trainer.callback_metrics
            self._metrics = {short: _format(metrics[name]) for name, short in _SHORT.items() if name in metrics}
        return self._metrics

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._updated_at = 0.0
        super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._updated_at = 0.0
        super().on_validation_end(trainer, pl_module)


class ProgressLines(Callback):
    """Logs a line after each epoch, and every `LINE_EVERY` seconds within an epoch, on rank 0."""

    def __init__(self) -> None:
        self._last = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.is_global_zero and time.monotonic() - self._last > LINE_EVERY:
            position = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            self._log(trainer, position, ("train/loss", "train/tokens_per_second"))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._log(trainer, "done", tuple(_SHORT))

    def _log(self, trainer: pl.Trainer, position: str, names: tuple[str, ...]) -> None:
        self._last = time.monotonic()
        values = {_SHORT[name]: trainer.callback_metrics.get(name) for name in names}
        figures = ", ".join(f"{name} {_format(value)}" for name, value in values.items() if value is not None)
        log.info("epoch %d/%s, %s: %s", trainer.current_epoch + 1, trainer.max_epochs, position, figures)
