"""Learning-rate schedules, each made from an optimiser and the number of steps to come."""

from typing import Any, NamedTuple

from torch.optim import Optimizer, lr_scheduler


class Schedule(NamedTuple):
    """A scheduler and when it moves."""

    scheduler: Any
    interval: str
    """"step" (optimizer steps) or "epoch"."""


def one_cycle(optimizer: Optimizer, *, total_steps: int, mode: str, warmup_share: float = 0.3) -> Schedule:
    """Up to the optimiser's learning rate and down to nearly nothing, once (Smith 2018, arXiv 1803.09820).

    Args:
        optimizer: its `lr` is the peak.
        total_steps: optimizer steps of the whole training.
        mode: not used.
        warmup_share: share of the steps on the way up.
    """
    peak = optimizer.param_groups[0]["lr"]
    has_momentum = bool({"momentum", "betas"} & optimizer.defaults.keys())
    cycle = lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=total_steps, pct_start=warmup_share, cycle_momentum=has_momentum
    )
    return Schedule(cycle, "step")


def cosine(optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
    """Down along half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, without restarts); `mode` is not used."""
    return Schedule(lr_scheduler.CosineAnnealingLR(optimizer, total_steps), "step")


def linear(optimizer: Optimizer, *, total_steps: int, mode: str) -> Schedule:
    """Down to nothing along a line; `mode` is not used."""
    return Schedule(lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=total_steps), "step")


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
