"""Training progress: log lines, and on a terminal also a progress bar."""

import logging
import sys
import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from torch import Tensor

from sluice.distributed import global_rank
from sluice.terminal import FILE_ONLY, PlainConsole, duration

log = logging.getLogger(__name__)

LINE_EVERY = 60.0
"""Seconds between two log lines within an epoch."""

UPDATE_EVERY = 0.5
"""Seconds between two updates of the figures in the progress bar; reading them waits for a GPU."""

SPEEDS = {"train/tokens_per_second": "tokens/s", "train/pairs_per_second": "pairs/s"}
OTHERS = ("val/accuracy", "val/f1", "val/exact", "val/rmse")
"""Validation metrics of which the first is logged next to the loss, if the loss is monitored."""
BAR_WIDTH = 12


def make_progress(monitor: str, *, shows_bar: bool = True) -> list[Callback]:
    """Returns the callbacks that report progress: log lines, and on rank 0 a bar if standard output is a terminal.

    Args:
        monitor: the monitored metric.
        shows_bar: whether a bar may be shown.
    """
    has_bar = shows_bar and sys.stdout.isatty() and global_rank() == 0
    lines = ProgressLines(monitor, has_bar=has_bar)
    return [lines, ProgressBar(monitor)] if has_bar else [lines]


def figures(trainer: pl.Trainer, *names: str) -> list[str]:
    """Formats the logged metrics of the given names, such as "loss 0.25"."""
    values = {name: trainer.callback_metrics.get(name) for name in dict.fromkeys(names)}
    return [_figure(name, value) for name, value in values.items() if value is not None]


def _figure(name: str, value: float | Tensor) -> str:
    unit = SPEEDS.get(name)
    return f"{_format(value)} {unit}" if unit else f"{name.partition('/')[2]} {_format(value)}"


def _format(value: float | Tensor) -> str:
    """The value with four significant digits; from 1000 on, rounded to an integer."""
    value = float(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _epoch(trainer: pl.Trainer) -> str:
    """The number of the epoch, from 1 on."""
    last = f"/{trainer.max_epochs}" if (trainer.max_epochs or 0) > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{last}"


class ProgressBar(Callback):
    """A line at the bottom of the terminal with the batches of the current stage; it disappears with the stage."""

    def __init__(self, monitor: str) -> None:
        """Args: monitor: the monitored metric."""
        self._monitor = monitor
        self._progress: Progress | None = None
        self._updated_at, self._batches = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # not called for an epoch that is resumed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._batches = 0
        self._show(_epoch(trainer), trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self._batches = batch_idx + 1
        self._advance(self._batches)
        now = time.monotonic()
        if now - self._updated_at >= UPDATE_EVERY:
            self._updated_at = now
            self._write(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(f"{_epoch(trainer)} validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, trainer: pl.Trainer, *rest: object) -> None:
        self._advance()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            self._hide()
            return
        self._show(_epoch(trainer), trainer.num_training_batches, self._batches)
        self._write(trainer)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show("test", sum(trainer.num_test_batches))

    def on_test_batch_end(self, trainer: pl.Trainer, *rest: object) -> None:
        self._advance()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._hide()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._hide()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._hide()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._hide()

    def _show(self, description: str, batches: float, completed: int = 0) -> None:
        """Starts the bar of a stage, or continues it."""
        total = None if batches == float("inf") else batches
        if self._progress is None:
            rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(BAR_WIDTH),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                TextColumn("{task.fields[figures]}", markup=False, table_column=rest),
            )
            self._progress = Progress(*columns, console=PlainConsole(), transient=True, expand=True)
            self._progress.add_task(description, total=total, figures="")
            self._progress.start()
        else:
            self._progress.reset(self._progress.task_ids[0], total=total, completed=completed, description=description)

    def _advance(self, completed: int | None = None) -> None:
        """Sets the number of batches, by default to one more."""
        if self._progress is not None:
            advance = 1 if completed is None else None
            self._progress.update(self._progress.task_ids[0], completed=completed, advance=advance)

    def _write(self, trainer: pl.Trainer) -> None:
        validation = [f"val {figure}" for figure in figures(trainer, self._monitor)]
        if self._progress is not None:
            text = "  ".join([*validation, *figures(trainer, "train/loss")])
            self._progress.update(self._progress.task_ids[0], figures=text, refresh=True)

    def _hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class ProgressLines(Callback):
    """Logs a line after each epoch, and every `LINE_EVERY` seconds within an epoch, on rank 0; and early stopping."""

    def __init__(self, monitor: str, *, has_bar: bool = False) -> None:
        """
        Args:
            monitor: the monitored metric.
            has_bar: whether a bar shows what the lines within an epoch do, which then go to log.txt only.
        """
        self._monitor = monitor
        self._within = FILE_ONLY if has_bar else None
        self._last = self._epoch_began = 0.0
        self._validated = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = self._epoch_began = time.monotonic()  # also the start of an epoch that is resumed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_began, self._validated = time.monotonic(), False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.is_global_zero and time.monotonic() - self._last > LINE_EVERY:
            self._last = time.monotonic()
            found = ", ".join(figures(trainer, "train/loss", *SPEEDS))
            position = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            log.info("%s, %s: %s", _epoch(trainer), position, found, extra=self._within)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._last = time.monotonic()
            found = ", ".join(figures(trainer, "train/loss"))
            validated = figures(trainer, self._monitor, "val/loss", *OTHERS)[:2] if self._validated else []
            if validated:
                found += f"; val: {', '.join(validated)}"
            log.info("%s (%s): %s", _epoch(trainer), duration(self._last - self._epoch_began), found)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for stopping in (callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)):  # type: ignore[attr-defined]
            stopped = stopping.stopped_epoch or stopping.stopping_reason_message  # epochs count from 0
            if trainer.is_global_zero and trainer.should_stop and stopped:
                log.info("Stopped early after epoch %d: %s.", stopping.stopped_epoch + 1, _reason(stopping))


def _reason(stopping: EarlyStopping) -> str:
    if stopping.wait_count < max(stopping.patience, 1):
        return str(stopping.stopping_reason_message).split(" Signaling")[0].rstrip(".")
    count = stopping.wait_count
    times = "validation" if count == 1 else f"{count} validations"
    return f"{stopping.monitor} has not improved in the last {times} (best: {_format(stopping.best_score)})"
