"""Settings changed on resuming, which the restored state of optimizer, schedule or callbacks would override."""

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from sluice.optim.configured import OWN_SETTINGS
from sluice.optim.schedules import OneCycleLR, momentum_ranges
from sluice.plain import Plain, PlainMapping

log = logging.getLogger(__name__)

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Entries of a parameter group that scale with the learning rate."""
OptimizerFactory: TypeAlias = Callable[[list[nn.Parameter]], Optimizer]
Changes: TypeAlias = dict[str, tuple[Any, Any]]
"""(old, new) value of each changed argument of an optimizer or a schedule."""
TRIAL_ERRORS = (LookupError, RuntimeError, TypeError, ValueError, AttributeError, AssertionError)
"""Errors of optimizers with arguments or a state that do not suit."""
READ_AT_START: dict[type[LRScheduler], tuple[str, ...]] = {
    lr_scheduler.ConstantLR: ("factor", "total_iters"),
    lr_scheduler.CosineAnnealingWarmRestarts: ("T_0",),
    lr_scheduler.CyclicLR: ("mode", "gamma", "cycle_momentum"),
    lr_scheduler.LinearLR: ("start_factor", "end_factor", "total_iters"),
    lr_scheduler.OneCycleLR: ("total_steps", "cycle_momentum"),
    lr_scheduler.PolynomialLR: ("total_iters", "power"),
}
"""Attributes of torch's schedulers that cannot be changed after the first step: the rates so far depend on them."""


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


def changed_arguments(
    group: str, before: PlainMapping, now: PlainMapping, target: Callable[..., object] | None
) -> Changes:
    """Returns the arguments of the optimizer or the schedule that differ between the contents of two checkpoints.

    An argument that is missing in one of them had the default of its parameter.

    Args:
        group: "optimizer" or "scheduler".
        before: contents of the checkpoint.
        now: contents of the next checkpoint.
        target: the class or function that gets the arguments, or a factory with the attribute `func`.
    """
    old, new = (saved.get("config", {}).get(group) for saved in (before, now))
    if not old or not new or target is None:
        return {}
    parameters = inspect.signature(getattr(target, "func", target)).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    changes: Changes = {}
    for name in {**old, **new}:
        was, becomes = (_listed(given.get(name, defaults.get(name))) for given in (old, new))
        if was != becomes and not name.startswith("_"):
            changes[name] = (was, becomes)
    return changes


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def apply_to_optimizers(changes: Changes, optimizers: Sequence[Optimizer], schedulers: Sequence[LRScheduler]) -> None:
    """Applies changed arguments to restored optimizers; schedules are rescaled to a new learning rate.

    Args:
        changes: result of `changed_arguments`.
        optimizers: optimizers restored from a checkpoint.
        schedulers: their schedules.
    """
    for optimizer in optimizers:
        _set_arguments(optimizer, changes)
    for key, (old, new) in changes.items():
        if key == "lr":
            for scheduler in schedulers:
                if hasattr(scheduler, "base_lrs"):
                    scheduler.base_lrs = [rate * new / old for rate in scheduler.base_lrs]
        log.info("optimizer.%s changes to %s (was %s).", key, new, old)
    if changes.keys() & {"momentum", "betas"} and any(isinstance(each, OneCycleLR) for each in schedulers):
        for optimizer in optimizers:
            _reset_momentum_ranges(optimizer)


def _set_arguments(optimizer: Optimizer, changes: Changes) -> None:
    for key, (old, new) in changes.items():
        for group in optimizer.param_groups:
            if key == "lr":
                group.update({name: group[name] * new / old for name in RATES if name in group})
            elif key in optimizer.defaults:
                group[key] = tuple(new) if isinstance(new, list) else new


def accepts_state(before: OptimizerFactory, now: OptimizerFactory, changes: Changes) -> bool:
    """Returns whether an optimizer can take a step with changed arguments and the state of the old ones.

    It cannot if it lacks a state that a new argument needs, such as the momentum of RMSprop. Optimizers that take no
    step on a single weight of the CPU, such as LBFGS, are not tried.

    Args:
        before: creates the optimizer with the old arguments.
        now: creates the optimizer with the new arguments.
        changes: result of `changed_arguments`.
    """
    weight = nn.Parameter(torch.zeros(2, 1))
    weight.grad = torch.tensor([[0.0], [1.0]])
    old, new = before([weight]), now([weight])
    try:
        old.step()
    except TRIAL_ERRORS:
        return changes.keys() <= new.defaults.keys()
    try:
        new.load_state_dict(old.state_dict())
        _set_arguments(new, changes)
        new.step()
    except TRIAL_ERRORS:
        return False
    return changes.keys() <= new.defaults.keys()


def _reset_momentum_ranges(optimizer: Optimizer) -> None:
    """Sets the limits between which one cycle changes the momentum, for a new momentum or new betas."""
    for group, (largest, smallest) in zip(optimizer.param_groups, momentum_ranges(optimizer), strict=True):
        if "max_momentum" in group:
            group.update(max_momentum=largest, base_momentum=smallest)


def apply_to_schedulers(changes: Changes, schedulers: Sequence[LRScheduler]) -> None:
    """Applies changed arguments to restored schedulers, as far as that is possible.

    Args:
        changes: result of `changed_arguments`; interval, frequency and monitor are not part of the restored state.
        schedulers: schedulers restored from a checkpoint.
    """
    for key, (old, new) in changes.items():
        if key in OWN_SETTINGS or all(_can_set(scheduler, key, new) for scheduler in schedulers):
            for scheduler in schedulers if key not in OWN_SETTINGS else ():
                setattr(scheduler, key, new)
            log.info("scheduler.%s changes to %s (was %s).", key, new, old)
        else:
            log.warning("scheduler.%s cannot be changed on resuming and remains %s.", key, old)


def can_change(scheduler: LRScheduler, name: str, value: object) -> bool:
    """Returns whether setting the attribute `name` changes that argument of a scheduler between two steps.

    Args:
        scheduler: a scheduler with the new argument.
        name: name of the argument.
        value: its new value.
    """
    return _can_set(scheduler, name, value) and bool(getattr(scheduler, name) == value)


def _can_set(scheduler: LRScheduler, name: str, value: object) -> bool:
    at_start = [names for kind, names in READ_AT_START.items() if isinstance(scheduler, kind)]
    is_scalar = isinstance(value, bool | int | float | str)
    return is_scalar and hasattr(scheduler, name) and not any(name in names for names in at_start)


def restart_plateaus(before: PlainMapping, now: PlainMapping, schedulers: Sequence[LRScheduler]) -> None:
    """Makes schedulers that read a metric forget its best value if another metric is monitored.

    Args:
        before: contents of the checkpoint.
        now: contents of the next checkpoint.
        schedulers: schedulers restored from the checkpoint.
    """
    (old, old_mode), (new, new_mode) = map(_monitored, (before, now))
    if old is None or (old, old_mode) == (new, new_mode):
        return
    for scheduler in schedulers:
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            mode = new_mode if scheduler.mode == old_mode else scheduler.mode
            best = math.inf if mode == "min" else -math.inf
            scheduler.load_state_dict({**scheduler.state_dict(), "mode": mode, "best": best, "num_bad_epochs": 0})
            log.info("The schedule compares %s (%s) from now on, without values before.", new, mode)


def _monitored(saved: PlainMapping) -> tuple[object, object]:
    """Returns the metric that a schedule reads, and its direction."""
    config = saved.get("config", {})
    task, schedule = config.get("task", {}), config.get("scheduler") or {}
    return schedule.get("monitor") or task.get("monitor"), schedule.get("mode") or task.get("mode")


def keep_patience(checkpoint: Plain, callbacks: Sequence[Callback]) -> None:
    """Replaces the patience of early stopping in a checkpoint, which Lightning restores, by that of the callback."""
    states = checkpoint.get("callbacks", {})
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and callback.state_key in states:
            states[callback.state_key]["patience"] = callback.patience
