"""Exponential moving and equal averages of the weights, through Lightning's WeightAveraging."""

import logging
from collections.abc import Callable
from typing import TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from sluice.callbacks.averaged_weights import AveragedEvaluation
from sluice.errors import SharedError
from sluice.lightning_internals import averaged_model
from sluice.optim.changed_settings import total_steps
from sluice.plain import Plain

log = logging.getLogger(__name__)

Average: TypeAlias = Callable[[Tensor, Tensor, Tensor | int], Tensor]
"""The argument `avg_fn` of `torch.optim.swa_utils.AveragedModel`."""


class TrainingAverage(AveragedEvaluation, WeightAveraging):
    """Averages the parameters during training; subclasses decide after which steps, and how.

    Lightning's WeightAveraging stores the averages in last.ckpt, so that a resumed run is bit-identical on a CPU.
    Unlike it, the current weights are used until the first update instead of the initial ones, the
    averages are saved in every checkpoint, and buffers are not averaged: those of Sluice's networks are constants. The
    averages are on the device of the training, and in float32 or float64, also if the weights have half precision, to
    which a validation rounds them.
    """

    def __init__(self, average: Average) -> None:
        """
        Args:
            average: computes a new average from the average, the weight and the number of updates so far.
        """
        WeightAveraging.__init__(self, use_buffers=False, avg_fn=average)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        model = averaged_model(self)
        if stage == "fit" and model is not None:  # the strategy moves and converts the weights later
            model.module.to(trainer.strategy.root_device)
            if trainer.precision == "64-true":
                model.module.double()

    @property
    def started(self) -> bool:
        """Whether there are averages."""
        model = averaged_model(self)
        return model is not None and bool(model.n_averaged > 0)

    @torch.no_grad()
    def swap(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model = averaged_model(self)
        if model is None or not self.started:
            return
        for average, weight in zip(model.module.parameters(), pl_module.parameters(), strict=True):
            before = weight.detach().clone()
            weight.copy_(average)
            average.copy_(before)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Does nothing; the weights are exchanged in `on_validation_start`."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Does nothing; the weights are exchanged in `on_validation_end`."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Does nothing; the averages are taken over in `on_fit_end`, which is called in a resumed run as well."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.started:
            log.warning("Training ended before %s started averaging: these are the raw weights.", type(self).__name__)
        super().on_fit_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Plain) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        averages, current = checkpoint["state_dict"], checkpoint["current_model_state"]
        if not self.started:
            checkpoint["state_dict"] = current
        elif self._swapped:
            checkpoint["state_dict"], checkpoint["current_model_state"] = current, averages


class ExponentialMovingAverage(TrainingAverage):
    """Averages the weights exponentially: average ← d · average + (1 − d) · weights.

    d is the smaller of `decay` and (1 + n) / (10 + n) at the n-th update, so that the initial weights are forgotten in
    a short training too.
    """

    def __init__(self, *, decay: float = 0.999, every_steps: int = 1, start_step: int = 0) -> None:
        """
        Args:
            decay: largest d.
            every_steps: optimizer steps between two updates.
            start_step: optimizer steps before the first update.

        Raises:
            ValueError: for a decay outside (0, 1), or a number of steps that is too small.
        """
        if not 0 < decay < 1:
            raise ValueError(f"decay must be above 0 and below 1, got {decay:g}")
        _check_steps(every_steps=every_steps, start_step=start_step)
        super().__init__(self._average)
        self.decay, self.every_steps, self.start_step = decay, every_steps, start_step

    def _average(self, average: Tensor, weight: Tensor, updates: Tensor | int) -> Tensor:
        count = torch.as_tensor(updates, dtype=average.dtype, device=average.device)
        decay = ((1 + count) / (10 + count)).clamp(max=self.decay)
        return average.lerp(weight.to(average.dtype), 1 - decay)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx >= self.start_step and step_idx % self.every_steps == 0


class StochasticWeightAverage(TrainingAverage):
    """Averages the weights of the last part of the training equally.

    Stochastic weight averaging of Izmailov et al. (2018), "Averaging weights leads to wider optima and better
    generalization", with the schedule that is configured; a constant or cyclical one suits it.
    """

    def __init__(self, *, start_fraction: float = 0.75, every_steps: int = 1) -> None:
        """
        Args:
            start_fraction: fraction of the optimizer steps of the training before the first update.
            every_steps: optimizer steps between two updates.

        Raises:
            ValueError: if `start_fraction` is not at least 0 and below 1, or `every_steps` is below 1.
        """
        if not 0 <= start_fraction < 1:
            raise ValueError(f"start_fraction must be at least 0 and below 1, got {start_fraction:g}")
        _check_steps(every_steps=every_steps)
        super().__init__(_mean)
        self.start_fraction, self.every_steps = start_fraction, every_steps
        self._start_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = total_steps(trainer)
        if total is None:
            raise SharedError(
                "averaging the weights of the last part of the training needs a training of fixed length: set "
                "trainer.max_epochs or trainer.max_steps, or use callbacks=[default,ema]"
            )
        self._start_step = int(self.start_fraction * total)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        if step_idx is None:
            return False
        return step_idx >= self._start_step and (step_idx - self._start_step) % self.every_steps == 0


def _mean(average: Tensor, weight: Tensor, updates: Tensor | int) -> Tensor:
    """The mean of the weights at all updates, of type `Average`."""
    count = torch.as_tensor(updates, dtype=average.dtype, device=average.device)
    return average.lerp(weight.to(average.dtype), 1 / (count + 1))


def _check_steps(every_steps: int, start_step: int = 0) -> None:
    if every_steps < 1 or start_step < 0:
        raise ValueError(
            f"every_steps must be at least 1 and start_step at least 0, got {every_steps} and {start_step}"
        )
