"""Learning-rate schedules, each made from an optimiser and the number of steps to come."""

from typing import NamedTuple

from torch import Tensor
from torch.optim import Optimizer, lr_scheduler


class Stretchable(lr_scheduler.LRScheduler):
    """A schedule over a fixed number of steps that can be stretched or compressed from the current step on.

    Mixed in before a scheduler of torch's. Beyond the last step the last learning rate holds.
    """

    stretched: list[float] | None = None
    """Once stretched: the step at which it was, the position in the original schedule there, positions per step."""

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
        """Makes what is left of the schedule end at `total_steps`, without a jump at the current step."""
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
        """The learning rates at `last_epoch`, which may lie between two steps."""
        rates: list[float | Tensor] = self._get_closed_form_lr()  # type: ignore[attr-defined]
        return rates


class OneCycleLR(Stretchable, lr_scheduler.OneCycleLR):
    """torch's, stretchable."""

    @property
    def length(self) -> int:
        return int(self.total_steps) - 1

    def _lr_at_position(self) -> list[float | Tensor]:
        return lr_scheduler.OneCycleLR.get_lr(self)


class CosineAnnealingLR(Stretchable, lr_scheduler.CosineAnnealingLR):
    """torch's, stretchable."""

    @property
    def length(self) -> int:
        return int(self.T_max)


class LinearLR(Stretchable, lr_scheduler.LinearLR):
    """torch's, stretchable."""

    @property
    def length(self) -> int:
        return int(self.total_iters)


class Schedule(NamedTuple):
    """A scheduler and when it moves."""

    scheduler: lr_scheduler.LRScheduler
    interval: str
    """"step" (optimizer steps) or "epoch"."""


def one_cycle(optimizer: Optimizer, *, total_steps: int, mode: str, warmup_fraction: float = 0.3) -> Schedule:
    """Up to the optimiser's learning rate and down to nearly nothing, once (Smith 2018, arXiv 1803.09820).

    Args:
        optimizer: its `lr` is the peak.
        total_steps: optimizer steps of the whole training.
        mode: not used.
        warmup_fraction: share of the steps on the way up.
    """
    peak = optimizer.param_groups[0]["lr"]
    has_momentum = bool({"momentum", "betas"} & optimizer.defaults.keys())
    cycle = OneCycleLR(optimizer, peak, total_steps=total_steps, pct_start=warmup_fraction, cycle_momentum=has_momentum)
    return Schedule(cycle, "step")


def cosine(optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
    """Down along half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts); `mode` is not used."""
    return Schedule(CosineAnnealingLR(optimizer, total_steps), "step")


def linear(optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
    """Down to nothing along a line; `mode` is not used."""
    return Schedule(LinearLR(optimizer, 1.0, 0.0, total_iters=total_steps), "step")


def plateau(optimizer: Optimizer, *, total_steps: int, mode: str, factor: float = 0.5, patience: int = 1) -> Schedule:
    """Multiplied by `factor` when the monitored metric has not improved for `patience` epochs.

    Args:
        optimizer: its `lr` is the first.
        total_steps: not used.
        mode: which way the monitored metric improves.
        factor: what the learning rate is multiplied by.
        patience: epochs.
    """
    return Schedule(lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, factor=factor, patience=patience), "epoch")  # type: ignore[arg-type]
