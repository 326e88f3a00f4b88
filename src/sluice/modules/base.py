"""Base class of the LightningModules."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.types import _MAP_LOCATION_TYPE as MAP_LOCATION_TYPE
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric, MetricCollection
from typing_extensions import Self

from sluice.lightning_internals import is_logged_step
from sluice.modules.monitor import Monitor
from sluice.optim.changed_settings import (
    Changes,
    apply_to_optimizers,
    apply_to_schedulers,
    changed_arguments,
    keep_patience,
    length_differs,
    restart_plateaus,
    steps_left,
    total_steps,
)
from sluice.optim.layer_groups import layer_groups
from sluice.optim.schedules import Schedule, Stretchable
from sluice.plain import Plain
from sluice.recurrent import RecurrentStack, StackState
from sluice.recurrent.states import map_state, state_of_tensors, state_tensors
from sluice.torch_internals import forgo_gradient_scaling

log = logging.getLogger(__name__)

STAGES = ("train", "val", "test")
"""Prefixes of the names of logged metrics."""

OptimizerFactory = Callable[..., Optimizer]
ScheduleFactory = Callable[..., Schedule]


@runtime_checkable
class AveragesWeights(Protocol):
    """A callback that averages the weights during training."""

    def averaged_state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Mapping[str, Tensor]:
        """Returns the state dict of the module with averaged weights."""


class TaskModule(pl.LightningModule):
    """A network with its loss, metrics and optimizer.

    Subclasses implement `model_step`, which computes the loss of a batch in every stage.
    """

    default_monitor: ClassVar[Monitor] = Monitor("val/loss", "min")
    """Default of the argument `monitor`."""

    def __init__(
        self,
        *,
        network: nn.Module,
        monitor: Monitor | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: ScheduleFactory | None = None,
        layer_decay: float = 1.0,
        saved_with: Plain | None = None,
    ) -> None:
        """
        Args:
            network: the nn.Module to train.
            monitor: the logged metric that selects the best checkpoint, and its direction; None for
                `default_monitor`.
            optimizer: creates the optimizer from parameters; None for evaluation only.
            schedule: creates the schedule from `optimizer`, `total_steps` and `mode`; None for a constant rate.
            layer_decay: factor of the learning rate from each layer to the one below it (discriminative fine-tuning,
                Howard & Ruder 2018, section 3.2, where it is 1 / 2.6).
            saved_with: plain containers saved in every checkpoint in addition to the weights.
        """
        super().__init__()
        self.network = network
        self.monitor = monitor or self.default_monitor
        self._make_optimizer, self._make_schedule = optimizer, schedule
        self.layer_decay, self.saved_with = layer_decay, saved_with or {}
        self._resumed_from: Plain | None = None
        self._steps_per_change, self._schedule_metric = 1, self.monitor.metric
        """Optimizer steps between two changes of a learning rate that changes per step, and the metric of schedules."""
        self.carried_states: dict[str, StackState] = {}
        """Recurrent state after the last chunk, by stage; empty unless batches are consecutive chunks of streams."""

    def setup(self, stage: str) -> None:
        """Converts the weights for `trainer.precision=64-true`: Lightning does so after loading a checkpoint only."""
        if self.trainer.precision == "64-true":
            self.double()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self._make_optimizer is None:
            raise ValueError("this module was created without an optimizer and can only be evaluated")
        if self.layer_decay == 1:
            optimizer = self._make_optimizer(self.parameters())
        else:
            optimizer = self._make_optimizer(self._layer_groups())
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * group.pop("factor")
        if self._make_schedule is None:
            return optimizer
        total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = self._make_schedule(optimizer, total_steps=total_steps, mode=self.monitor.mode)
        by_step = schedule.interval == "step"
        self._steps_per_change = schedule.frequency if by_step else 1
        self._schedule_metric = schedule.monitor or self.monitor.metric
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": schedule.scheduler,
                "interval": schedule.interval,
                "frequency": 1 if by_step else schedule.frequency,  # see `lr_scheduler_step`
                "monitor": self._schedule_metric,
            },
        }

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: Tensor | None) -> None:
        """Steps a scheduler; one per optimizer step every `frequency` steps of the training.

        Lightning would count the batches of each epoch instead.

        Args:
            scheduler: the scheduler.
            metric: the monitored metric for ReduceLROnPlateau; None for all others.
        """
        if self.trainer.global_step % self._steps_per_change == 0:
            super().lr_scheduler_step(scheduler, metric)

    def _layer_groups(self) -> list[Plain]:
        """Returns the parameter groups of the layers, from the top, with the factor of the learning rate of each."""
        groups = layer_groups(self.network)
        return [{"params": group, "factor": self.layer_decay**depth} for depth, group in enumerate(groups) if group]

    def configure(
        self,
        *,
        optimizer: OptimizerFactory | None = None,
        schedule: ScheduleFactory | None = None,
        monitor: Monitor | None = None,
        saved_with: Plain | None = None,
    ) -> None:
        """Replaces arguments of the constructor, where given."""
        self._make_optimizer, self._make_schedule = optimizer or self._make_optimizer, schedule or self._make_schedule
        self.monitor, self.saved_with = monitor or self.monitor, saved_with or self.saved_with

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored; empty if unknown in advance."""
        return []

    def log_number(self, name: str, value: float, batch_size: int) -> None:
        """Logs a Python number of a training batch, on logged steps only.

        Lightning copies such a number to the device and synchronises, so all other steps skip it.

        Args:
            name: name of the metric.
            value: value of the metric.
            batch_size: examples in the batch.
        """
        if is_logged_step(self.trainer):
            self.log(name, value, batch_size=batch_size)

    def log_epoch(self, metrics: Mapping[str, Metric] | MetricCollection, batch_size: int) -> None:
        """Logs metrics that are computed over the whole epoch.

        Args:
            metrics: attributes of this module by metric name, already updated with the current batch.
            batch_size: examples in the batch.
        """
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=batch_size)

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: MAP_LOCATION_TYPE = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **options: Any,
    ) -> Self:
        """Loads a module from a checkpoint of a run of Sluice, or of another Trainer.

        The other arguments are those of any LightningModule.

        Args:
            checkpoint_path: the checkpoint. That of a run stores everything; the module can be validated, tested and
                used for prediction, and with an `optimizer` trained further.
            options: arguments of this class. For the checkpoint of another Trainer all that its constructor needs, such
                as `network`; for that of a run `optimizer`, `schedule` and `monitor`, if any.

        Raises:
            UserError: for an invalid checkpoint, one of another class, or one that stores no network.
        """
        if options.keys() & {"network", "translator"} or not isinstance(checkpoint_path, str | Path):
            return super().load_from_checkpoint(
                checkpoint_path, map_location, hparams_file, strict, weights_only, **options
            )
        from sluice.api import load_module  # above this package: the network of a run is built by its recipe

        module = load_module(Path(checkpoint_path), cls, **options)
        return module.to(map_location) if isinstance(map_location, str | torch.device) else module

    def on_load_checkpoint(self, checkpoint: Plain) -> None:
        self._resumed_from = checkpoint.get("sluice", {})
        with suppress(RuntimeError):  # without a Trainer
            keep_patience(checkpoint, self.trainer.callbacks)  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        """Applies changes to the settings of optimizer and schedule and to the training length after resuming.

        Under bf16-mixed gradients are not scaled; Lightning then clips also those of fused optimizers.
        """
        if self.trainer.precision == "bf16-mixed":
            for optimizer in self.trainer.optimizers:
                forgo_gradient_scaling(optimizer)
        if self._resumed_from is None:
            return
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        apply_to_optimizers(self._changes("optimizer", self._make_optimizer), self.trainer.optimizers, schedulers)
        changes = self._changes("scheduler", self._make_schedule)
        apply_to_schedulers(changes, schedulers)
        restart_plateaus(self._resumed_from, self.saved_with, schedulers)
        total = total_steps(self.trainer)
        by_step = any(config.interval == "step" for config in self.trainer.lr_scheduler_configs)
        more_often = "frequency" in changes and by_step and total is not None
        if more_often or length_differs(self._resumed_from, self.saved_with, total):
            self._stretch(schedulers, math.ceil(steps_left(self.trainer) / self._steps_per_change))

    def _changes(self, group: str, make: Callable[..., object] | None) -> Changes:
        """Returns the arguments of the optimizer or the schedule that were changed on resuming."""
        return changed_arguments(group, self._resumed_from or {}, self.saved_with, make)

    def _stretch(self, schedulers: Sequence[LRScheduler], left: int) -> None:
        for scheduler in schedulers:
            if not isinstance(scheduler, Stretchable):
                log.info("The schedule %s is not stretched to the new length.", type(scheduler).__name__)
            elif left > 0:
                step = scheduler.last_epoch
                scheduler.stretch(step + left)
                log.info("The learning-rate schedule is stretched from step %d to end at step %d.", step, step + left)

    def carry_over(self, stage: str, state: StackState) -> None:
        """Stores the detached state after a chunk for the next chunk of the stage."""
        self.carried_states[stage] = map_state(Tensor.detach, state)

    def carried_state(self, stage: str, rows: int) -> StackState | None:
        """Returns the state after the last chunk of the stage, for a batch of `rows` streams.

        None for the initial state, also if a run was resumed with another batch size.
        """
        state = self.carried_states.get(stage)
        if state is not None and any(part.shape[-2] != rows for part in state_tensors(state)):
            log.info("The streams start from the initial state: their number was changed to %d.", rows)
            return None
        return state

    def recurrent_state(self) -> dict[str, list[Tensor]]:
        """Returns the training state carried over between batches, on the CPU; empty for none. It differs by rank."""
        state = self.carried_states.get("train")
        return {} if state is None else {"train": [part.cpu() for part in state_tensors(state)]}

    def load_recurrent_state(self, saved: dict[str, list[Tensor]]) -> None:
        """Restores a state returned by `recurrent_state`."""
        for stage, parts in saved.items():
            recurrent = self.network.recurrent
            assert isinstance(recurrent, RecurrentStack)
            on_device = [part.to(self.device) for part in parts]
            self.carried_states[stage] = state_of_tensors(on_device, recurrent.state_type)

    def on_save_checkpoint(self, checkpoint: Plain) -> None:
        """Adds what loading the model needs; checkpoints of weights only get the averaged weights, if there are any."""
        if "optimizer_states" not in checkpoint:
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, AveragesWeights):
                    checkpoint["state_dict"] = callback.averaged_state(self.trainer, self)
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint["sluice"] = {**self.saved_with, "metrics": metrics, "total_steps": total_steps(self.trainer)}
