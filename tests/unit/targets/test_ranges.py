"""Ranges of arguments that are given as nested targets."""

import math
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from sluice.errors import UserError
from sluice.targets.ranges import OPTIMIZERS, SCHEDULES, check_argument_ranges

TENSOR = {"_target_": "torch.tensor", "data": 0.1}


def fabs(value: float) -> dict[str, Any]:
    return {"_target_": f"{__name__}.positive", "value": value}


def positive(value: float) -> float:
    return math.fabs(value)


def test_nested_targets_are_instantiated_first() -> None:
    for rate in (TENSOR, fabs(-0.5)):
        check_argument_ranges(
            "optimizer", {"_target_": "torch.optim.SGD", "lr": rate}, OPTIMIZERS, torch.optim.Optimizer
        )
    cycle = {"_target_": "torch.optim.lr_scheduler.CyclicLR", "base_lr": fabs(0.1), "max_lr": 0.2}
    check_argument_ranges("scheduler", cycle, SCHEDULES, LRScheduler)


@pytest.mark.parametrize(("base", "message"), [(0.0, "must be above 0"), (0.4, "must be below")])
def test_their_values_are_checked(base: float, message: str) -> None:
    lr = {"_target_": "torch.optim.SGD", "lr": fabs(0)}
    cycle = {"_target_": "torch.optim.lr_scheduler.CyclicLR", "base_lr": fabs(base), "max_lr": 0.2}
    spec, allowed, kind = (lr, OPTIMIZERS, torch.optim.Optimizer) if base == 0 else (cycle, SCHEDULES, LRScheduler)
    with pytest.raises(UserError, match=message):
        check_argument_ranges("group", spec, allowed, kind)
