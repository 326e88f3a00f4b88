"""Learning-rate schedules."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import OneCycleLR

from sluice.optim.schedules import Schedule, cosine, linear, one_cycle, plateau


def make_optimizer() -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=2.0)


def rates(schedule: Schedule, optimizer: SGD, steps: int) -> list[float]:
    learning_rates = []
    for _ in range(steps):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.scheduler.step()
    return learning_rates


def test_one_cycle_peaks_after_the_warm_up() -> None:
    optimizer = make_optimizer()
    learning_rates = rates(one_cycle(optimizer, total_steps=101, mode="max", warmup_fraction=0.3), optimizer, 100)
    assert max(learning_rates) == pytest.approx(2.0, rel=1e-3)
    assert learning_rates.index(max(learning_rates)) in (29, 30)
    assert learning_rates[0] < 0.1
    assert learning_rates[-1] < 0.01


def momenta(optimizer: Optimizer, schedule: Schedule, steps: int = 10) -> list[list[float]]:
    """The momentum, or beta1, of each parameter group at each step."""
    found = []
    for _ in range(steps):
        found.append([group["betas"][0] if "betas" in group else group["momentum"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.scheduler.step()
    return found


@pytest.mark.parametrize(
    ("optimizer", "kept"),
    [
        pytest.param(SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 0.0, id="SGD without momentum"),
        pytest.param(RMSprop([nn.Parameter(torch.zeros(1))], lr=0.1), 0.0, id="RMSprop"),
        pytest.param(AdamW([nn.Parameter(torch.zeros(1))], lr=0.1, betas=(0.5, 0.999)), 0.5, id="beta1"),
        pytest.param(AdamW([nn.Parameter(torch.zeros(1))], lr=0.1, betas=(0.9, 0.98)), 0.9, id="beta2"),
    ],
)
def test_one_cycle_keeps_momentum_0_and_given_betas(optimizer: Optimizer, kept: float) -> None:
    assert momenta(optimizer, one_cycle(optimizer, total_steps=11, mode="min")) == [[kept]] * 10


def test_one_cycle_keeps_momentum_0_in_its_own_group() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "momentum": momentum} for momentum in (0.0, 0.5)]
    optimizer = SGD(groups, lr=0.1)
    without, cycled = zip(*momenta(optimizer, one_cycle(optimizer, total_steps=11, mode="min")), strict=True)
    assert without == (0.0,) * 10
    assert (max(cycled), min(cycled)) == pytest.approx((0.95, 0.85), abs=0.01)


@pytest.mark.parametrize(
    "make", [AdamW, lambda weights, lr: SGD(weights, lr, momentum=0.9, nesterov=True)], ids=["AdamW", "SGD"]
)
def test_one_cycle_equals_that_of_torch_with_momentum(make: Callable[..., Optimizer]) -> None:
    optimizer, other = (make([nn.Parameter(torch.zeros(1))], lr=0.1) for _ in range(2))
    ours = one_cycle(optimizer, total_steps=20, mode="min").scheduler
    theirs = OneCycleLR(other, 0.1, total_steps=20)
    for _ in range(19):
        assert {**optimizer.param_groups[0], "params": None} == {**other.param_groups[0], "params": None}
        for each in (optimizer, other, ours, theirs):
            each.step()


@pytest.mark.parametrize(("fraction", "total"), [(0.1, 10), (0.001, 1000)])
def test_one_cycle_may_warm_up_in_one_step(fraction: float, total: int) -> None:
    optimizer = make_optimizer()
    learning_rates = rates(one_cycle(optimizer, total_steps=total, mode="max", warmup_fraction=fraction), optimizer, 3)
    assert learning_rates[0] == pytest.approx(2 / 25)
    assert max(learning_rates) == learning_rates[1] > 1.9


def test_cosine_decays_to_0() -> None:
    optimizer = make_optimizer()
    schedule = cosine(optimizer, total_steps=100, mode="max")
    learning_rates = rates(schedule, optimizer, 101)
    assert schedule.interval == "step"
    assert [learning_rates[0], learning_rates[50], learning_rates[100]] == pytest.approx([2.0, 1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize(("mode", "values"), [("max", [0.5, 0.4, 0.3]), ("min", [0.3, 0.4, 0.5])])
def test_plateau_lowers_without_improvement(mode: str, values: list[float]) -> None:
    optimizer = make_optimizer()
    schedule = plateau(optimizer, total_steps=1, mode=mode, factor=0.25, patience=1)
    for value in values:
        schedule.scheduler.step(value)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert schedule.interval == "epoch"


SCHEDULES = [cosine, linear, one_cycle]


def curve(make: Callable[..., Schedule], total: int, stretch_at: int | None = None, to: int = 0) -> list[float]:
    """Learning rates of a schedule, optionally saved, loaded and stretched at a step."""
    optimizer = make_optimizer()
    schedule = make(optimizer, total_steps=total, mode="max")
    if stretch_at is None:
        return rates(schedule, optimizer, total + 1)
    learning_rates = rates(schedule, optimizer, stretch_at)
    saved, optimizer = schedule.scheduler.state_dict(), make_optimizer()
    schedule = make(optimizer, total_steps=to, mode="max")
    schedule.scheduler.load_state_dict(saved)
    schedule.scheduler.stretch(to)
    optimizer.param_groups[0]["lr"] = schedule.scheduler.get_last_lr()[0]
    return learning_rates + rates(schedule, optimizer, to + 1 - stretch_at)


@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("at", [5, 30, 60])
@pytest.mark.parametrize("to", [140, 80])
def test_stretched_schedule_ends_at_the_new_step(make: Callable[..., Schedule], at: int, to: int) -> None:
    original = curve(make, 100)
    stretched = curve(make, 100, stretch_at=at, to=to)
    assert stretched[: at + 1] == pytest.approx(original[: at + 1], rel=1e-6)
    assert stretched[to] == pytest.approx(original[100], abs=1e-9)
    middle = at + (to - at) // 2
    assert stretched[middle] == pytest.approx(original[at + (100 - at) // 2], rel=0.1)


@pytest.mark.parametrize("make", SCHEDULES)
def test_learning_rate_is_constant_after_the_end(make: Callable[..., Schedule]) -> None:
    optimizer = make_optimizer()
    learning_rates = rates(make(optimizer, total_steps=10, mode="max"), optimizer, 20)
    assert learning_rates[11:] == pytest.approx([learning_rates[10]] * 9, abs=1e-12)


@pytest.mark.parametrize("make", SCHEDULES)
def test_schedule_can_be_stretched_twice(make: Callable[..., Schedule]) -> None:
    optimizer = make_optimizer()
    schedule = make(optimizer, total_steps=100, mode="max")
    for at, to in ((40, 200), (70, 300)):
        rates(schedule, optimizer, at - schedule.scheduler.last_epoch)
        before = schedule.scheduler.position
        schedule.scheduler.stretch(to)
        assert schedule.scheduler.position == pytest.approx(before)
    rates(schedule, optimizer, 300 - 70)
    assert schedule.scheduler.position == pytest.approx(schedule.scheduler.length)
