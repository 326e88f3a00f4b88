"""Settings changed on resuming, which the restored state of optimisers and schedules would otherwise override."""

import logging
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

log = logging.getLogger(__name__)

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Entries of a parameter group that follow the optimiser's learning rate."""


def training_length(saved: dict[str, Any]) -> list[Any]:
    """What of the settings kept with a checkpoint decides how many steps a training has."""
    trainer = saved.get("config", {}).get("trainer", {})
    return [trainer.get(key) for key in ("max_epochs", "max_steps")]


def optimizer_changes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """(old, new) of every argument of the optimiser that differs between what two checkpoints keep."""
    old, new = (saved.get("config", {}).get("optimizer", {}) for saved in (before, now))
    return {key: (old[key], new[key]) for key in new if key in old and old[key] != new[key]}


def apply_to_optimizers(
    changes: dict[str, tuple[Any, Any]], optimizers: Sequence[Optimizer], schedulers: Sequence[Any]
) -> None:
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
