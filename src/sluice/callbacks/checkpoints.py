"""Checkpoints, written atomically: the best weights, and the complete training state of the last step."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.trainer.states import TrainerFn

from sluice.callbacks import checkpoint_file
from sluice.callbacks.training_state import STORED_AS, TrainingState
from sluice.errors import SharedError, UserError
from sluice.files import Guard, atomic_file
from sluice.lightning_internals import settle_progress
from sluice.plain import Plain
from sluice.signals import available, find_signal

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
MAX_SAVING_FRACTION = 0.02
"""Maximum fraction of the training time spent on saving; the interval in minutes is extended if necessary."""

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None
"""A signal handler, as accepted and returned by signal.signal."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically: to a temporary file that is synced, then renamed.

    A process that is killed while writing never leaves an incomplete file under the checkpoint's name.
    """

    def __init__(self, guard: Guard | None = None) -> None:
        """
        Args:
            guard: checked before the file is written, and again before it is renamed.
        """
        super().__init__()
        self._guard = guard

    def save_checkpoint(self, checkpoint: Plain, path: str | Path, storage_options: object = None) -> None:
        path = Path(path)
        if self._guard is not None:
            self._guard.check()
        path.parent.mkdir(parents=True, exist_ok=True)
        for incomplete in path.parent.glob(f".{path.name}.*"):  # of a process that was killed
            incomplete.unlink(missing_ok=True)
        try:
            with atomic_file(path) as file:
                checkpoint_file.write(checkpoint, file)
                if self._guard is not None:  # writing may have taken long
                    self._guard.check()
        except OSError as error:  # such as a full disk: add the file name
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, which continues in a resumed run whose folder was moved or renamed."""

    def load_state_dict(self, state_dict: Plain) -> None:
        """Restores the state with the current folder; Lightning would forget the saved files after a move."""
        folder = Path(str(self.dirpath))

        def in_folder(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        moved: Plain = {name: in_folder(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")}
        moved |= {"dirpath": self.dirpath, "last_model_path": in_folder(state_dict["last_model_path"])}
        scores = {in_folder(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": scores})


class BestCheckpoint(MovableCheckpoint):
    """Saves the weights to best.ckpt after each validation that improves the task's monitored metric.

    A validation with the same value and a lower loss is an improvement too.
    """

    def __init__(self, *, run_dir: str, monitor: str, mode: str) -> None:
        """
        Args:
            run_dir: the run's folder.
            monitor: name of the metric.
            mode: "min" or "max".
        """
        super().__init__(
            dirpath=run_dir,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            save_on_train_epoch_end=False,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self._loss: float | None = None
        """Validation loss of best.ckpt."""

    def check_monitor_top_k(self, trainer: pl.Trainer, current: torch.Tensor | None = None) -> bool:
        """Returns whether the last validation is the best one; it is saved then."""
        loss = trainer.callback_metrics.get("val/loss")
        is_best = super().check_monitor_top_k(trainer, current) or self._has_lower_loss(trainer, current, loss)
        if is_best:
            self._loss = None if loss is None else float(loss)
        return is_best

    def _has_lower_loss(self, trainer: pl.Trainer, current: torch.Tensor | None, loss: torch.Tensor | None) -> bool:
        """Returns whether the monitored metric equals the best one, with a lower loss."""
        if current is None or loss is None or self._loss is None:
            return False
        lower = bool(current == self.best_model_score) and float(loss) < self._loss
        return trainer.strategy.reduce_boolean_decision(lower)

    def state_dict(self) -> Plain:
        return {**super().state_dict(), "loss": self._loss}

    def load_state_dict(self, state_dict: Plain) -> None:
        super().load_state_dict(state_dict)
        self._loss = state_dict.get("loss")  # missing in checkpoints of earlier versions


@contextmanager
def catch_signals(stop_signal: signal.Signals) -> Iterator[list[signal.Signals]]:
    """Collects the stop signals received in the block, unless another handler is installed inside it.

    In another thread than the main one, which cannot set signal handlers, the list stays empty.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(stop_signal, lambda number, _: received.append(signal.Signals(number)))
    try:
        yield received
    finally:
        signal.signal(stop_signal, before)


class LastCheckpoint(Callback):
    """Saves the complete training state to last.ckpt and renames the one before it to previous.ckpt.

    A checkpoint is saved before a training batch, when no gradients are accumulated: every `every_minutes`, every
    `every_steps` optimizer steps, after a stop signal or Ctrl-C, and when training ends. Training resumed from it is
    identical to uninterrupted training, bit for bit on a CPU. The interval in minutes is extended so that saving takes
    at most MAX_SAVING_FRACTION of the time.

    The stop signal, SIGTERM and SIGHUP finish the current batch, save and stop training; so does the first Ctrl-C.
    A second Ctrl-C, or one during validation in a single process, stops without saving.
    """

    def __init__(
        self,
        *,
        run_dir: str,
        every_minutes: float = 5.0,
        every_steps: int | None = None,
        stop_signal: str = "SIGUSR1",
        early_signals: Sequence[signal.Signals] = (),
        guard: Guard | None = None,
        started: float | None = None,
    ) -> None:
        """
        Args:
            run_dir: the run's folder.
            every_minutes: minutes between two checkpoints.
            every_steps: optimizer steps between two checkpoints, in addition to `every_minutes`; with gradient
                accumulation, a step is several batches. None for `every_minutes` only.
            stop_signal: name of the signal after which the run saves and stops, to be resumed later; SIGTERM where
                the system lacks it.
            early_signals: stop signals received before training, see `catch_signals`; checked in `setup`.
            guard: checked before every batch and every write.
            started: time.monotonic() when the command started; None for now.
        """
        self._guard = guard
        self._early_signals = early_signals
        self.path = Path(run_dir) / LAST
        self.every_seconds, self.every_steps = 60 * every_minutes, every_steps
        self.stop_signal = find_signal(stop_signal)
        self.stopped_by_signal: signal.Signals | None = None
        self._state = TrainingState(started)
        self._received: signal.Signals | None = None
        self._saved_at, self._saved_step, self._saving_seconds = 0.0, -1, 0.0
        self._handlers: dict[signal.Signals, Handler] = {}
        self._host_group: torch.distributed.ProcessGroup | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == TrainerFn.FITTING and trainer.world_size > 1:
            self._host_group = torch.distributed.new_group(backend="gloo")
        if stage == TrainerFn.FITTING and threading.current_thread() is threading.main_thread():
            for number in (self.stop_signal, signal.SIGINT):
                self._handlers[number] = signal.signal(number, self._on_signal)
            if self._early_signals:
                self._received = self.stop_signal

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.restore_signal_handlers()

    def restore_signal_handlers(self) -> None:
        """Restores the previous signal handlers; Lightning doesn't call `teardown` after an interruption."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)
        self._handlers = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Records the signal, which takes effect before the next batch; a second Ctrl-C takes effect at once."""
        if number == signal.SIGINT and self._received is not None:
            raise KeyboardInterrupt
        self._received = signal.Signals(number)

    @property
    def seconds(self) -> float:
        """Run time in seconds, without the time between interruption and resumption."""
        return self._state.seconds

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._state.finished:  # training had ended, but the run was killed before its test ended
            trainer.should_stop = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        if self._handlers:  # replaces Lightning's handlers, which communicate with the other ranks in mid-batch
            for number in available("SIGTERM", "SIGHUP"):
                if number not in self._handlers and signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
                    self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, index: int
    ) -> None:
        self._state.restore_once(trainer)
        if self._guard is not None and self._guard.lost:
            self._received = self._received or signal.SIGTERM  # all ranks stop together, and `_save` raises the error
        if index % trainer.accumulate_grad_batches:
            return  # accumulated gradients are not part of a checkpoint
        stop, due = self._synchronize(trainer)
        if stop or due:
            self._save(trainer)
        if stop:
            self.stopped_by_signal = None if self._received == signal.SIGINT else self._received
            raise KeyboardInterrupt

    def on_validation_batch_start(self, trainer: pl.Trainer, *rest: object) -> None:
        if self._received == signal.SIGINT and trainer.world_size == 1:
            raise KeyboardInterrupt

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_guard(trainer)  # best.ckpt may be written next

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._state.restore_once(trainer)
        self._state.finished = True
        self._save(trainer)
        stop, _ = self._synchronize(trainer)
        if stop and self._received != signal.SIGINT:  # stops the run before its test
            self.stopped_by_signal = self._received

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Plain) -> None:
        checkpoint[STORED_AS] = self._state.gather(trainer)
        settle_progress(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Plain) -> None:
        self._state.load(checkpoint[STORED_AS])

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if self.every_steps is not None and trainer.global_step - self._saved_step >= self.every_steps:
            return True
        interval = max(self.every_seconds, self._saving_seconds / MAX_SAVING_FRACTION)
        return time.monotonic() - self._saved_at >= interval

    def _synchronize(self, trainer: pl.Trainer) -> tuple[bool, bool]:
        """Returns whether any rank received a stop signal, and whether a checkpoint is due on rank 0.

        The result is the same on all ranks, so that all stop and save before the same batch. It is exchanged with gloo
        on the CPU, since NCCL would wait for the GPU at every batch.
        """
        due = trainer.is_global_zero and self._is_due(trainer)
        if trainer.world_size == 1:
            return self._received is not None, due
        flags = torch.tensor([int(self._received or 0), int(due)])
        torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX, group=self._host_group)
        number, any_due = flags.tolist()
        if number and self._received is None:
            self._received = signal.Signals(number)
        return number > 0, any_due > 0

    def _check_guard(self, trainer: pl.Trainer) -> None:
        """Checks that this process may still write to the run's folder.

        Raises:
            UserError: on every rank, if rank 0 may not.
        """
        lost: UserError | None = None
        if self._guard is not None:
            try:
                self._guard.check()
            except UserError as error:
                lost = error
        if trainer.world_size > 1 and trainer.strategy.broadcast(lost is not None) and lost is None:
            raise SharedError("rank 0 may no longer write to the run's folder: this rank stops too")
        if lost is not None:
            raise lost

    def _save(self, trainer: pl.Trainer) -> None:
        started = time.monotonic()
        self._check_guard(trainer)
        for logger in trainer.loggers:
            logger.save()
        backup = self.path.with_name(f".{PREVIOUS}")
        if trainer.is_global_zero and self.path.exists():
            backup.unlink(missing_ok=True)
            with suppress(OSError):  # without hard links there is no previous.ckpt
                backup.hardlink_to(self.path)
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero and backup.exists():  # after a successful save only
            backup.replace(self.path.with_name(PREVIOUS))
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        self._saving_seconds = self._saved_at - started
