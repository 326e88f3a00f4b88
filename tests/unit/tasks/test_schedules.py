"""Learning rates over time."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from sluice.tasks.schedules import Schedule, cosine, one_cycle, plateau


def make_optimizer() -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=2.0)


def rates(schedule: Schedule, optimizer: SGD, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.scheduler.step()
    return seen


def test_one_cycle_peaks_at_the_learning_rate_after_the_warm_up() -> None:
    optimizer = make_optimizer()
    seen = rates(one_cycle(optimizer, total_steps=101, mode="max", warmup_share=0.3), optimizer, 100)
    assert max(seen) == pytest.approx(2.0, rel=1e-3)
    assert seen.index(max(seen)) in (29, 30)
    assert seen[0] < 0.1
    assert seen[-1] < 0.01


def test_cosine_goes_down_to_nothing_along_half_a_wave() -> None:
    optimizer = make_optimizer()
    schedule = cosine(optimizer, total_steps=100, mode="max")
    seen = rates(schedule, optimizer, 101)
    assert schedule.interval == "step"
    assert [seen[0], seen[50], seen[100]] == pytest.approx([2.0, 1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize(("mode", "values"), [("max", [0.5, 0.4, 0.3]), ("min", [0.3, 0.4, 0.5])])
def test_plateau_lowers_when_the_metric_gets_no_better(mode: str, values: list[float]) -> None:
    optimizer = make_optimizer()
    schedule = plateau(optimizer, total_steps=1, mode=mode, factor=0.25, patience=1)
    for value in values:
        schedule.scheduler.step(value)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert schedule.interval == "epoch"
