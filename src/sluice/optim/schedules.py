"""Learning-rate schedules, created from an optimizer and the number of steps."""

import inspect
import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

MOMENTA = (0.95, 0.85)
"""Largest and smallest momentum, or beta1, of one cycle."""


class Stretchable(lr_scheduler.LRScheduler):
    """Mixin for schedulers over a fixed number of steps, which can be stretched or compressed at the current step.

    After the last step the learning rate stays constant.
    """

    stretched: list[float] | None = None
    """Step of the last stretching, position in the original schedule at that step, and positions per step."""

    @property
    def length(self) -> int:
        """Step at which the original schedule reaches its last learning rate."""
        raise NotImplementedError

    @property
    def position(self) -> float:
        """Step of the original schedule that the current step corresponds to."""
        if self.stretched is None:
            return min(self.last_epoch, self.length)
        step, position, rate = self.stretched
        return min(position + rate * (self.last_epoch - step), self.length)

    def stretch(self, total_steps: int) -> None:
        """Rescales the remaining schedule to end at `total_steps`; the current learning rate is unchanged."""
        step, position = self.last_epoch, self.position
        if total_steps > step:
            self.stretched = [step, position, (self.length - position) / (total_steps - step)]

    def get_lr(self) -> list[float | Tensor]:
        if self.stretched is None and self.last_epoch <= self.length:
            return super().get_lr()
        step = self.last_epoch
        self.last_epoch = self.position  # type: ignore[assignment]
        try:
            return self._lr_at_position()
        finally:
            self.last_epoch = step

    def _lr_at_position(self) -> list[float | Tensor]:
        """Returns the learning rates at `last_epoch`, which may be fractional, by a formula and not step by step."""
        raise NotImplementedError


class OneCycleLR(Stretchable, lr_scheduler.OneCycleLR):
    """Stretchable version of the torch scheduler."""

    @property
    def length(self) -> int:
        return int(self.total_steps) - 1

    def _lr_at_position(self) -> list[float | Tensor]:
        return lr_scheduler.OneCycleLR.get_lr(self)


class CosineAnnealingLR(Stretchable, lr_scheduler.CosineAnnealingLR):
    """Stretchable version of the torch scheduler."""

    @property
    def length(self) -> int:
        return int(self.T_max)

    def _lr_at_position(self) -> list[float | Tensor]:
        swing = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * swing / 2 for base in self.base_lrs]


class LinearLR(Stretchable, lr_scheduler.LinearLR):
    """Stretchable version of the torch scheduler."""

    @property
    def length(self) -> int:
        return int(self.total_iters)

    def _lr_at_position(self) -> list[float | Tensor]:
        fall = (self.end_factor - self.start_factor) * min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + fall) for base in self.base_lrs]


class Schedule(NamedTuple):
    """A scheduler, and when it changes the learning rate."""

    scheduler: lr_scheduler.LRScheduler
    interval: str
    """"step" (per optimizer step) or "epoch"."""
    frequency: int = 1
    """Intervals between two changes of the learning rate."""
    monitor: str | None = None
    """Metric that the scheduler reads; None for the task's monitored metric."""


def one_cycle(optimizer: Optimizer, *, total_steps: int, mode: str, warmup_fraction: float = 0.3) -> Schedule:
    """One cycle: warm-up to the peak, then annealing to nearly 0 (Smith 2018, arXiv 1803.09820).

    The momentum, or beta1, falls from 0.95 to 0.85 in the warm-up and returns to 0.95, see `momentum_ranges`.

    Args:
        optimizer: optimizer; its `lr` is the peak.
        total_steps: optimizer steps of the whole training.
        mode: unused.
        warmup_fraction: fraction of the steps for the warm-up.

    Raises:
        ValueError: if `warmup_fraction` is not between 0 and 1.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
        >>> schedule = one_cycle(optimizer, total_steps=10, mode="min")
        >>> schedule.interval, [round(rate, 2) for rate in schedule.scheduler.get_last_lr()]
        ('step', [0.08])
    """
    if not 0 < warmup_fraction < 1:
        raise ValueError(f"warmup_fraction must be above 0 and below 1, got {warmup_fraction:g}")
    peaks = [group["lr"] for group in optimizer.param_groups]
    if warmup_fraction * total_steps == 1:  # torch would divide by 0
        warmup_fraction *= 1 + 1e-9
    ranges = momentum_ranges(optimizer)
    cycle = OneCycleLR(
        optimizer,
        peaks,
        total_steps=total_steps,
        pct_start=warmup_fraction,
        cycle_momentum=any(largest > smallest for largest, smallest in ranges),
        max_momentum=[largest for largest, _ in ranges],
        base_momentum=[smallest for _, smallest in ranges],
    )
    return Schedule(cycle, "step")


def momentum_ranges(optimizer: Optimizer) -> list[tuple[float, float]]:
    """Returns the largest and smallest momentum, or beta1, of each parameter group in one cycle.

    Both are the group's own value if its momentum is 0, or if its betas differ from the defaults of the optimizer's
    class.
    """
    ranges: list[tuple[float, float]] = []
    for group in optimizer.param_groups:
        if "betas" in optimizer.defaults:
            own, changes = group["betas"][0], _has_default_betas(optimizer, group["betas"])
        else:
            own = group.get("momentum", 0.0)
            changes = own > 0
        ranges.append(MOMENTA if changes else (own, own))
    return ranges


def _has_default_betas(optimizer: Optimizer, betas: Sequence[float]) -> bool:
    """Returns whether betas are the defaults of the optimizer's class; True if its constructor has no such argument."""
    parameter = inspect.signature(type(optimizer)).parameters.get("betas")
    if parameter is None:
        return True
    return isinstance(parameter.default, list | tuple) and list(betas) == list(parameter.default)


def cosine(optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
    """Cosine annealing to 0 (Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts).

    Args:
        optimizer: optimizer; its `lr` is the initial learning rate.
        total_steps: optimizer steps of the whole training.
        mode: unused.
    """
    return Schedule(CosineAnnealingLR(optimizer, total_steps), "step")


def linear(optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
    """Linear decay to 0.

    Args:
        optimizer: optimizer; its `lr` is the initial learning rate.
        total_steps: optimizer steps of the whole training.
        mode: unused.
    """
    return Schedule(LinearLR(optimizer, 1.0, 0.0, total_iters=total_steps), "step")


def plateau(optimizer: Optimizer, *, total_steps: int, mode: str, factor: float = 0.5, patience: int = 1) -> Schedule:
    """Multiplies the learning rate by `factor` after more than `patience` epochs without improvement.

    Args:
        optimizer: optimizer; its `lr` is the initial learning rate.
        total_steps: unused.
        mode: "min" or "max", direction of the monitored metric.
        factor: factor of each reduction.
        patience: number of epochs without improvement that are allowed.

    Raises:
        ValueError: if `factor` is not between 0 and 1, or `patience` is below 0.
    """
    if not 0 < factor < 1 or patience < 0:
        raise ValueError(f"factor must be above 0 and below 1 and patience at least 0, got {factor:g} and {patience}")
    return Schedule(lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, factor=factor, patience=patience), "epoch")  # type: ignore[arg-type]
