"""Checkpoints that are whole, or not there: the best weights, and all that training needs to go on."""

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

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
COST_SHARE = 0.02
"""Most of the run's time that saving may take, whatever interval was asked for in minutes."""

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None
"""Of a signal, as signal.signal gives and takes it."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, and moves it into place: a kill never leaves half a file under the name."""

    def __init__(self, guard: Guard | None = None) -> None:
        """
        Args:
            guard: asked before the file is written and again before it is moved into place.
        """
        super().__init__()
        self._guard = guard

    def save_checkpoint(self, checkpoint: Plain, path: str | Path, storage_options: object = None) -> None:
        path = Path(path)
        if self._guard is not None:
            self._guard.check()
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_by_a_kill in path.parent.glob(f".{path.name}.*"):
            left_by_a_kill.unlink(missing_ok=True)
        try:
            with atomic_file(path) as file:
                checkpoint_file.write(checkpoint, file)
                if self._guard is not None:  # writing may have taken long
                    self._guard.check()
        except OSError as error:  # a full disk, say: name the file
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt, the weights with the best value of the task's monitored metric."""

    def __init__(self, *, run_dir: str, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=run_dir,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: Plain) -> None:
        """Also where the run's folder was moved while it lay still."""
        folder = Path(str(self.dirpath))

        def here(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        moved: Plain = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")}
        moved |= {"dirpath": self.dirpath, "last_model_path": here(state_dict["last_model_path"])}
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": scores})


@contextmanager
def catch_signals(stop_signal: signal.Signals) -> Iterator[list[signal.Signals]]:
    """Collects stop signals in the returned list, so that they don't end the process before training starts."""
    early: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield early
        return
    before = signal.signal(stop_signal, lambda number, _: early.append(signal.Signals(number)))
    try:
        yield early
    finally:
        signal.signal(stop_signal, before)


class LastCheckpoint(Callback):
    """Keeps last.ckpt, everything training needs to go on as if it had never stopped, and the one before it.

    It is written between two batches, when everything of the one is done and logged and nothing of the next has begun:
    at intervals, after a stop signal or Ctrl-C, and when training ends. The interval in minutes grows where saving
    would take more than COST_SHARE of the time.
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
    ) -> None:
        """
        Args:
            run_dir: the run's folder.
            every_minutes: between two checkpoints.
            every_steps: optimizer steps between two checkpoints, in addition to the minutes; None for minutes alone.
            stop_signal: the signal after which the run saves and stops, to be gone on with later.
            early_signals: stop signals received so far, as `catch_signals` collects them.
            guard: asked before every batch and every write.
        """
        self._guard = guard
        self._early_signals = early_signals
        self.path = Path(run_dir) / LAST
        self.every_seconds, self.every_steps = 60 * every_minutes, every_steps
        self.stop_signal = signal.Signals[stop_signal]
        self.stopped_by_signal: signal.Signals | None = None
        self._state = TrainingState()
        self._asked: signal.Signals | None = None
        self._saved_at, self._saved_step, self._cost = 0.0, -1, 0.0
        self._handlers: dict[signal.Signals, Handler] = {}
        self._host_group: torch.distributed.ProcessGroup | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == TrainerFn.FITTING and trainer.world_size > 1:
            self._host_group = torch.distributed.new_group(backend="gloo")
        if stage == TrainerFn.FITTING and threading.current_thread() is threading.main_thread():
            for number in (self.stop_signal, signal.SIGINT):
                self._handlers[number] = signal.signal(number, self._ask)
            if self._early_signals:
                self._asked = self.stop_signal

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.hand_back_signals()

    def hand_back_signals(self) -> None:
        """Restores the handlers that signals had before; after an interruption Lightning doesn't call `teardown`."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._ask:
                signal.signal(number, handler)
        self._handlers = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Remembers the signal until the batch is done; a second Ctrl-C doesn't wait, and saves nothing."""
        if number == signal.SIGINT and self._asked is not None:
            raise KeyboardInterrupt
        self._asked = signal.Signals(number)

    @property
    def seconds(self) -> float:
        """Since the run first started, without the time between interruption and resumption."""
        return self._state.seconds

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._state.finished:  # it stopped early, and was killed before its test was done
            trainer.should_stop = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        if self._handlers:  # not before: Lightning has set up its own, which talks to the other ranks in mid-batch
            for number in (signal.SIGTERM, signal.SIGHUP):
                if number not in self._handlers and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                    self._handlers[number] = signal.signal(number, self._ask)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, index: int
    ) -> None:
        self._state.restore_once(trainer)
        if self._guard is not None and self._guard.lost:
            self._asked = self._asked or signal.SIGTERM  # all ranks stop together; `_save` then says why
        if index % trainer.accumulate_grad_batches:
            return  # gradients are being summed up, and those are in no checkpoint
        asked, due = self._agreed(trainer)
        if asked or due:
            self._save(trainer)
        if asked:
            self.stopped_by_signal = None if self._asked == signal.SIGINT else self._asked
            raise KeyboardInterrupt

    def on_validation_batch_start(self, trainer: pl.Trainer, *rest: object) -> None:
        if self._asked == signal.SIGINT and trainer.world_size == 1:
            raise KeyboardInterrupt

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_guard(trainer)  # best.ckpt may be written next

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._state.restore_once(trainer)
        self._state.finished = True
        self._save(trainer)
        asked, _ = self._agreed(trainer)
        if asked and self._asked != signal.SIGINT:  # too late for training, not for the test
            self.stopped_by_signal = self._asked

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Plain) -> None:
        checkpoint[STORED_AS] = self._state.gathered(trainer)
        settle_progress(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Plain) -> None:
        self._state.load(checkpoint[STORED_AS])

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if self.every_steps is not None and trainer.global_step - self._saved_step >= self.every_steps:
            return True
        wait = max(self.every_seconds, self._cost / COST_SHARE)
        return time.monotonic() - self._saved_at >= wait

    def _agreed(self, trainer: pl.Trainer) -> tuple[bool, bool]:
        """Whether any rank was asked to stop, and whether a checkpoint is due by the first rank's clock.

        All ranks get the same answer, so that all stop and save after the same batch. The hosts exchange it by gloo:
        through NCCL every batch would wait for the GPU.
        """
        due = trainer.is_global_zero and self._is_due(trainer)
        if trainer.world_size == 1:
            return self._asked is not None, due
        flags = torch.tensor([int(self._asked or 0), int(due)])
        torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX, group=self._host_group)
        number, any_due = flags.tolist()
        if number and self._asked is None:
            self._asked = signal.Signals(number)
        return number > 0, any_due > 0

    def _check_guard(self, trainer: pl.Trainer) -> None:
        """
        Raises:
            UserError: on every rank, if the first one may not write any more.
        """
        lost: UserError | None = None
        if self._guard is not None:
            try:
                self._guard.check()
            except UserError as error:
                lost = error
        if trainer.world_size > 1 and trainer.strategy.broadcast(lost is not None) and lost is None:
            raise SharedError("the first rank may not write to the run's folder any more: this rank stops too")
        if lost is not None:
            raise lost

    def _save(self, trainer: pl.Trainer) -> None:
        started = time.monotonic()
        self._check_guard(trainer)
        for logger in trainer.loggers:
            logger.save()
        kept = self.path.with_name(f".{PREVIOUS}")
        if trainer.is_global_zero and self.path.exists():
            kept.unlink(missing_ok=True)
            with suppress(OSError):  # where the file system has no links, there is just the last one
                kept.hardlink_to(self.path)
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero and kept.exists():  # only now: a save that fails keeps the previous one
            kept.replace(self.path.with_name(PREVIOUS))
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        self._cost = self._saved_at - started
