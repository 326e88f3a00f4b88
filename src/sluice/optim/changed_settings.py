"""Optimizer settings changed on resuming, which the restored optimizer state would otherwise override."""

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
"""Entries of a parameter group that scale with the learning rate."""
Changes: TypeAlias = dict[str, tuple[Any, Any]]
"""(old, new) value of each changed argument of the optimizer."""


def total_steps(trainer: pl.Trainer) -> int | None:
    """Returns the optimizer steps of the whole training; None if its length is not fixed."""
    total = trainer.estimated_stepping_batches
    return int(total) if 0 <= total < math.inf else None


def steps_left(trainer: pl.Trainer) -> int:
    """Returns the remaining optimizer steps of a training of fixed length, for the current batch size."""
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
    """Returns whether the number of optimizer steps differs from that of the checkpoint.

    Args:
        before: contents of the checkpoint. Without `total_steps` (older checkpoints) the settings are compared.
        now: contents of the next checkpoint.
        total: result of `total_steps`.
    """
    if total is None:
        return False
    if before.get("total_steps") is not None:
        return bool(before["total_steps"] != total)
    old, new = (saved.get("config", {}).get("trainer", {}) for saved in (before, now))
    return any(old.get(key) != new.get(key) for key in ("max_epochs", "max_steps"))


def optimizer_changes(before: PlainMapping, now: PlainMapping) -> Changes:
    """Returns the optimizer arguments that differ between the contents of two checkpoints."""
    old, new = (saved.get("config", {}).get("optimizer", {}) for saved in (before, now))
    return {key: (old[key], new[key]) for key in new if key in old and old[key] != new[key]}


def apply_to_optimizers(changes: Changes, optimizers: Sequence[Optimizer], schedulers: Sequence[LRScheduler]) -> None:
    """Applies changed arguments to restored optimizers; schedules are rescaled to a new learning rate.

    Args:
        changes: result of `optimizer_changes`.
        optimizers: optimizers restored from a checkpoint.
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
        log.info("optimizer.%s changes to %s (was %s).", key, new, old)
