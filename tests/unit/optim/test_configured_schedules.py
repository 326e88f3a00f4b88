"""Every schedule of torch.optim.lr_scheduler can be configured, saved and restored."""

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer, lr_scheduler

from sluice.optim.schedules import Schedule
from sluice.targets.instantiate import factory

ARGUMENTS: dict[str, dict[str, Any]] = {
    "ConstantLR": {},
    "CosineAnnealingLR": {},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0},
    "ExponentialLR": {"gamma": 0.5},
    "LambdaLR": {"lr_lambda": {"_target_": f"{__name__}.halved", "_partial_": True}},
    "LinearLR": {},
    "MultiStepLR": {"milestones": [2, 4]},
    "MultiplicativeLR": {"lr_lambda": {"_target_": f"{__name__}.halved", "_partial_": True}},
    "OneCycleLR": {"max_lr": 1.0},
    "PolynomialLR": {},
    "ReduceLROnPlateau": {"patience": 0},
    "StepLR": {"step_size": 2},
}
NEED_SCHEDULERS = {"LRScheduler", "SequentialLR", "ChainedScheduler"}
"""The base class, and those whose arguments are schedulers of the optimizer, which need a function of your own."""
PER_STEP = {"CosineAnnealingLR", "OneCycleLR"}


def halved(step: int) -> float:
    return 0.5**step


def warmed_up(optimizer: Optimizer, *, total_steps: int) -> lr_scheduler.LRScheduler:
    """A function of a user, that returns one of torch's schedulers."""
    first = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2)
    then = lr_scheduler.CosineAnnealingLR(optimizer, total_steps - 2)
    return lr_scheduler.SequentialLR(optimizer, [first, then], milestones=[2])


def make_optimizer() -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)


def rates(optimizer: SGD, scheduler: lr_scheduler.LRScheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step(*([1.0] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def scheduled(spec: dict[str, Any]) -> tuple[SGD, Schedule]:
    optimizer = make_optimizer()
    return optimizer, factory("scheduler", spec)(optimizer, total_steps=10, mode="min")


def test_every_class_of_torch_is_tested() -> None:
    kinds = {name for name in lr_scheduler.__all__ if isinstance(getattr(lr_scheduler, name), type)}
    assert kinds - NEED_SCHEDULERS == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_saved_schedule_continues(name: str) -> None:
    spec = {"_target_": f"torch.optim.lr_scheduler.{name}", **ARGUMENTS[name]}
    optimizer, schedule = scheduled(spec)
    assert schedule.interval == ("step" if name in PER_STEP else "epoch")
    rates(optimizer, schedule.scheduler, 4)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), schedule.scheduler.state_dict()], file)
    file.seek(0)
    other, restored = scheduled(spec)
    for each, state in zip((other, restored.scheduler), torch.load(file, weights_only=True), strict=True):
        each.load_state_dict(state)
    assert rates(other, restored.scheduler, 4) == rates(optimizer, schedule.scheduler, 4)


def test_interval_frequency_and_monitor_are_settings() -> None:
    own = {"interval": "step", "frequency": 3}
    _, schedule = scheduled({"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 2, **own})
    assert schedule[1:] == ("step", 3, None)
    _, plateau = scheduled({"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "monitor": "val/loss"})
    assert plateau[1:] == ("epoch", 1, "val/loss")


def test_function_may_return_a_scheduler() -> None:
    optimizer, schedule = scheduled({"_target_": f"{__name__}.warmed_up"})
    assert schedule.interval == "step"
    found = rates(optimizer, schedule.scheduler, 10)
    assert max(found) == pytest.approx(1.0)
    assert found[-1] == pytest.approx(0.0, abs=0.05)


def test_given_length_is_kept() -> None:
    _, schedule = scheduled({"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 3})
    assert schedule.scheduler.T_max == 3  # type: ignore[attr-defined]
    assert schedule.interval == "epoch"


@pytest.mark.parametrize("name", ["one_cycle", "cosine", "linear"])
def test_schedule_of_every_third_step_ends_with_training(name: str) -> None:
    optimizer, schedule = scheduled({"_target_": f"sluice.optim.schedules.{name}", "frequency": 3})
    changes = 10 // 3
    assert rates(optimizer, schedule.scheduler, changes + 1)[-1] == pytest.approx(0, abs=1e-4)
    assert schedule[1:] == ("step", 3, None)


def test_length_in_epochs_is_not_divided_by_the_frequency() -> None:
    given = {"T_max": 6, "interval": "epoch", "frequency": 3}
    _, schedule = scheduled({"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", **given})
    assert schedule.scheduler.T_max == 6  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spec",
    [
        {"_target_": "sluice.optim.schedules.one_cycle", "warmup_fraction": 0.1},
        {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "max_lr": 1.0, "pct_start": 0.1},
    ],
    ids=["one_cycle", "OneCycleLR"],
)
def test_warm_up_of_a_tenth_is_accepted(spec: dict[str, Any]) -> None:
    assert factory("scheduler", spec)(make_optimizer(), total_steps=100, mode="min").interval == "step"
