"""Settings changed on resuming, which the restored state of optimisers and schedules would otherwise override."""

import logging
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sluice.plain import PlainMapping

log = logging.getLogger(__name__)

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Entries of a parameter group that follow the optimiser's learning rate."""
Changes: TypeAlias = dict[str, tuple[Any, Any]]
"""(old, new) of each argument of an optimiser."""


def total_steps(trainer: pl.Trainer) -> int | None:
    """Optimizer steps of a whole training with the present settings and data; None where it has no fixed length."""
    total = trainer.estimated_stepping_batches
    return int(total) if 0 <= total < math.inf else None


def steps_left(trainer: pl.Trainer) -> int:
    """Optimizer steps to come in a training of a fixed length, which may have begun with batches of another size."""
    loop: Any = trainer.fit_loop
    limits = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        done = loop.epoch_loop.batch_progress.current.processed // trainer.accumulate_grad_batches
        whole_epochs = trainer.max_epochs - loop.epoch_progress.current.processed - 1
        limits.append(max(per_epoch - done, 0) + whole_epochs * per_epoch)
    if trainer.max_steps >= 0:
        limits.append(trainer.max_steps - trainer.global_step)
    return min(limits)


def length_differs(before: PlainMapping, now: PlainMapping, total: int | None) -> bool:
    """Whether a training has another number of optimizer steps than when its checkpoint was written.

    Args:
        before: what the checkpoint keeps; older ones lack `total_steps`, then the limits in the settings are compared.
        now: what the next checkpoint keeps.
        total: as from `total_steps`.
    """
    if total is None:
        return False
    if before.get("total_steps") is not None:
        return bool(before["total_steps"] != total)
    old, new = (saved.get("config", {}).get("trainer", {}) for saved in (before, now))
    return any(old.get(key) != new.get(key) for key in ("max_epochs", "max_steps"))


def optimizer_changes(before: PlainMapping, now: PlainMapping) -> Changes:
    """(old, new) of every argument of the optimiser that differs between what two checkpoints keep."""
    old, new = (saved.get("config", {}).get("optimizer", {}) for saved in (before, now))
    return {key: (old[key], new[key]) for key in new if key in old and old[key] != new[key]}


def apply_to_optimizers(changes: Changes, optimizers: Sequence[Optimizer], schedulers: Sequence[LRScheduler]) -> None:
    """Gives restored optimisers the arguments they have now; a schedule keeps its shape and takes the new peak.

    Args:
        changes: as from `optimizer_changes`.
        optimizers: restored from a checkpoint.
        schedulers: their schedules.
    """
    for key, (old, new) in changes.items():
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            if key == "lr":
                group.update({name: group[name] * new / old for name in RATES if name in group})
            elif key in group:
                group[key] = tuple(new) if isinstance(new, list) else new
        if key == "lr":
            for scheduler in schedulers:
                if hasattr(scheduler, "base_lrs"):
                    scheduler.base_lrs = [rate * new / old for rate in scheduler.base_lrs]
        log.info("optimizer.%s is %s from here on, it was %s.", key, new, old)
