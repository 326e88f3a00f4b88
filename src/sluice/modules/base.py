"""What every LightningModule of Sluice does the same way."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric, MetricCollection

from sluice.lightning_internals import is_logged_step
from sluice.optim.changed_settings import (
    apply_to_optimizers,
    length_differs,
    optimizer_changes,
    steps_left,
    total_steps,
)
from sluice.optim.schedules import Schedule, Stretchable
from sluice.plain import Plain
from sluice.recurrent import RecurrentStack, State

log = logging.getLogger(__name__)

STAGES = ("train", "val", "test")
"""The first part of the name of every logged metric."""

OptimizerFactory = Callable[..., Optimizer]
ScheduleFactory = Callable[..., Schedule]


@dataclass(frozen=True)
class Monitor:
    """The metric that decides which checkpoint is best."""

    metric: str
    mode: str
    """"max" or "min"."""


class TaskModule(pl.LightningModule):
    """A network with its loss, its metrics and its optimiser.

    A subclass writes `model_step`, the one way from a batch to a loss that every stage shares.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        monitor: Monitor,
        optimizer: OptimizerFactory | None = None,
        schedule: ScheduleFactory | None = None,
        saved_with: Plain | None = None,
    ) -> None:
        """
        Args:
            network: the nn.Module to train.
            monitor: which logged metric decides, and which way.
            optimizer: makes the optimiser from parameters; None for a task that is only evaluated.
            schedule: makes the learning-rate schedule from `optimizer`, `total_steps` and `monitor`; None for none.
            saved_with: plain containers written into every checkpoint beside the weights, so that it suffices alone.
        """
        super().__init__()
        self.network = network
        self.monitor = monitor
        self._make_optimizer, self._make_schedule = optimizer, schedule
        self.saved_with = saved_with or {}
        self._resumed_from: Plain | None = None
        self.carried_states: dict[str, State] = {}
        """By stage, the state after the last chunk, where batches are chunks of the same streams."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self._make_optimizer is None:
            raise ValueError("this task was built without an optimizer, it can only be evaluated")
        optimizer = self._make_optimizer(self.parameters())
        if self._make_schedule is None:
            return optimizer
        total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = self._make_schedule(optimizer, total_steps=total_steps, mode=self.monitor.mode)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": schedule.scheduler,
                "interval": schedule.interval,
                "monitor": self.monitor.metric,
            },
        }

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics that validation logs; empty where they are not known in advance."""
        return []

    def log_number(self, name: str, value: float, batch_size: int) -> None:
        """Logs a Python number of a training batch, on the steps that loggers are given.

        Lightning copies such a number to the device and waits for the device, so other steps leave it out.

        Args:
            name: of the metric.
            value: its value.
            batch_size: examples in the batch.
        """
        if is_logged_step(self.trainer):
            self.log(name, value, batch_size=batch_size)

    def log_epoch(self, metrics: Mapping[str, Metric] | MetricCollection, batch_size: int) -> None:
        """Logs metrics that are computed over the whole epoch, by name.

        Args:
            metrics: attributes of this module, updated with the current batch.
            batch_size: examples in the batch.
        """
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=batch_size)

    def on_load_checkpoint(self, checkpoint: Plain) -> None:
        self._resumed_from = checkpoint["sluice"]

    def on_train_start(self) -> None:
        """Settings of the optimiser, and a length of the training, that were changed on resuming hold from here on."""
        if self._resumed_from is None:
            return
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        changes = optimizer_changes(self._resumed_from, self.saved_with)
        apply_to_optimizers(changes, self.trainer.optimizers, schedulers)
        if length_differs(self._resumed_from, self.saved_with, total_steps(self.trainer)):
            self._stretch(schedulers, steps_left(self.trainer))

    def _stretch(self, schedulers: Sequence[LRScheduler], left: int) -> None:
        for scheduler in schedulers:
            if isinstance(scheduler, Stretchable) and left > 0:
                step = scheduler.last_epoch
                scheduler.stretch(step + left)
                log.info(
                    "The learning-rate schedule is stretched from step %d on: it ends at step %d.", step, step + left
                )

    def carry_over(self, stage: str, state: State) -> None:
        """Carries the state after a chunk over to the next chunk of the stage, detached."""
        self.carried_states[stage] = type(state)(*(part.detach() for part in state))

    def recurrent_state(self) -> dict[str, list[Tensor]]:
        """The state that training carries over between batches, on the CPU; empty for none. Each rank has its own."""
        state = self.carried_states.get("train")
        return {} if state is None else {"train": [part.cpu() for part in state]}

    def load_recurrent_state(self, saved: dict[str, list[Tensor]]) -> None:
        """Restores what `recurrent_state` gave."""
        for stage, parts in saved.items():
            recurrent = self.network.recurrent
            assert isinstance(recurrent, RecurrentStack)
            self.carried_states[stage] = recurrent.state_type(*(part.to(self.device) for part in parts))

    def on_save_checkpoint(self, checkpoint: Plain) -> None:
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint["sluice"] = {**self.saved_with, "metrics": metrics, "total_steps": total_steps(self.trainer)}
