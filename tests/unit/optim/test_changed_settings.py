"""Comparison of the settings with those of a checkpoint, and changes of restored optimizers and schedules."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from sluice.optim.changed_settings import (
    accepts_state,
    apply_to_optimizers,
    apply_to_schedulers,
    can_change,
    changed_arguments,
    keep_patience,
    length_differs,
    restart_plateaus,
)
from sluice.optim.schedules import one_cycle, plateau


def checkpoint_settings(max_epochs: int, **more: Any) -> dict[str, Any]:
    return {"config": {"trainer": {"max_epochs": max_epochs, "max_steps": -1}}, **more}


@pytest.mark.parametrize(
    ("before", "total", "differs"),
    [
        pytest.param(checkpoint_settings(2, total_steps=8), 8, False, id="same steps"),
        pytest.param(checkpoint_settings(2, total_steps=8), 16, True, id="same epochs, other steps"),
        pytest.param(checkpoint_settings(4, total_steps=8), 8, False, id="same steps, other epochs"),
        pytest.param(checkpoint_settings(2), 8, False, id="older checkpoint"),
        pytest.param(checkpoint_settings(4), 8, True, id="older checkpoint, other epochs"),
        pytest.param(checkpoint_settings(4, total_steps=8), None, False, id="no fixed length"),
        pytest.param(checkpoint_settings(4, total_steps=None), 8, True, id="no fixed length before"),
    ],
)
def test_length_is_compared_by_optimizer_steps(before: dict[str, Any], total: int | None, differs: bool) -> None:
    assert length_differs(before, checkpoint_settings(2), total) is differs


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(1))]


def with_settings(**groups: dict[str, Any]) -> dict[str, Any]:
    """Contents of a checkpoint."""
    return {"config": groups}


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        pytest.param({"lr": 0.1}, {"lr": 0.2}, {"lr": (0.1, 0.2)}, id="changed"),
        pytest.param({"lr": 0.1}, {"lr": 0.1, "eps": 0.1}, {"eps": (1e-8, 0.1)}, id="added"),
        pytest.param({"lr": 0.1, "eps": 0.1}, {"lr": 0.1}, {"eps": (0.1, 1e-8)}, id="removed"),
        pytest.param({"lr": 0.1}, {"lr": 0.1, "betas": [0.9, 0.999]}, {}, id="added default"),
        pytest.param({}, {"lr": 0.1}, {}, id="no settings before"),
    ],
)
def test_changed_arguments_include_added_and_removed_ones(
    before: dict[str, Any], now: dict[str, Any], changes: dict[str, Any]
) -> None:
    old, new = (with_settings(optimizer=given) for given in (before, now))
    assert changed_arguments("optimizer", old, new, partial(AdamW)) == changes


def test_added_optimizer_argument_is_applied() -> None:
    restored = AdamW(weights(), eps=0.1)
    restored.load_state_dict(AdamW(weights()).state_dict())
    assert restored.param_groups[0]["eps"] == 1e-8
    apply_to_optimizers({"eps": (1e-8, 0.1)}, [restored], [])
    assert restored.param_groups[0]["eps"] == 0.1


@pytest.mark.parametrize(
    ("make", "change"),
    [
        pytest.param(partial(Adam, betas=(0.5, 0.9)), {"betas": ([0.9, 0.999], [0.5, 0.9])}, id="betas"),
        pytest.param(partial(SGD, momentum=0.0), {"momentum": (0.9, 0.0)}, id="momentum 0"),
    ],
)
def test_one_cycle_keeps_a_changed_momentum(make: Callable[..., Optimizer], change: dict[str, Any]) -> None:
    before: Optimizer = Adam(weights()) if "betas" in change else SGD(weights(), momentum=0.9)
    old = one_cycle(before, total_steps=20, mode="min").scheduler
    restored = make(weights())
    new = one_cycle(restored, total_steps=20, mode="min").scheduler
    restored.load_state_dict(before.state_dict())
    new.load_state_dict(old.state_dict())
    apply_to_optimizers(change, [restored], [new])
    restored.step()
    new.step()
    assert [list(restored.param_groups[0][name]) for name in change if name == "betas"] in ([], [[0.5, 0.9]])
    assert restored.param_groups[0].get("momentum", 0.0) == 0.0


@pytest.mark.parametrize(
    ("kind", "argument", "accepted"),
    [
        (AdamW, {"eps": 0.1}, True),
        (AdamW, {"amsgrad": True}, False),
        (RMSprop, {"momentum": 0.5}, False),
        (RMSprop, {"alpha": 0.5}, True),
        (SGD, {"momentum": 0.5}, True),
        (torch.optim.LBFGS, {"max_iter": 5}, True),
        (partial(torch.optim.AdamW, capturable=True), {"weight_decay": 0.2}, True),
    ],
)
def test_arguments_that_need_another_state_are_detected(
    kind: Callable[..., Optimizer], argument: dict[str, Any], accepted: bool
) -> None:
    changes = {name: (None, value) for name, value in argument.items()}
    assert accepts_state(partial(kind, lr=0.1), partial(kind, lr=0.1, **argument), changes) is accepted


@pytest.mark.parametrize(
    ("make", "argument", "changeable"),
    [
        (plateau, {"patience": 3}, True),
        (plateau, {"factor": 0.1}, True),
        (one_cycle, {"warmup_fraction": 0.5}, False),
        (lr_scheduler.StepLR, {"step_size": 3}, True),
        (lr_scheduler.MultiStepLR, {"milestones": [3, 5]}, False),
        (lr_scheduler.ReduceLROnPlateau, {"min_lr": 0.1}, False),
        (lr_scheduler.LinearLR, {"end_factor": 0.5}, False),
        (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 7}, False),
    ],
)
def test_only_attributes_with_an_effect_can_be_changed(
    make: Callable[..., Any], argument: dict[str, Any], changeable: bool
) -> None:
    length = {"total_steps": 10, "mode": "min"} if make in (plateau, one_cycle) else {}
    made = make(SGD(weights(), lr=1.0), **length, **argument)
    scheduler = made if isinstance(made, LRScheduler) else made.scheduler
    ((name, value),) = argument.items()
    assert can_change(scheduler, name, value) is changeable


def test_changed_schedule_arguments_are_applied() -> None:
    restored = plateau(SGD(weights(), lr=1.0), total_steps=10, mode="min", patience=3).scheduler
    restored.load_state_dict(plateau(SGD(weights(), lr=1.0), total_steps=10, mode="min").scheduler.state_dict())
    apply_to_schedulers({"patience": (1, 3), "frequency": (None, 2)}, [restored])
    assert restored.patience == 3  # type: ignore[attr-defined]
    assert not hasattr(restored, "frequency")


@pytest.mark.parametrize(("monitor", "best"), [("val/loss", torch.inf), ("val/accuracy", 0.9)])
def test_plateau_forgets_the_best_value_of_another_metric(monitor: str, best: float) -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(SGD(weights(), lr=1.0), mode="max")
    scheduler.step(0.9)
    mode = "max" if monitor == "val/accuracy" else "min"
    before = with_settings(task={"monitor": "val/accuracy", "mode": "max"}, scheduler={})
    restart_plateaus(before, with_settings(task={"monitor": monitor, "mode": mode}, scheduler={}), [scheduler])
    assert (scheduler.mode, scheduler.best) == (mode, best)
    scheduler.step(0.95)
    assert scheduler.best == 0.95


def test_configured_patience_replaces_that_of_a_checkpoint() -> None:
    before, now = EarlyStopping("val/loss", patience=5), EarlyStopping("val/loss", patience=2)
    before.wait_count = 1
    checkpoint = {"callbacks": {before.state_key: before.state_dict()}}
    keep_patience(checkpoint, [now])
    now.load_state_dict(checkpoint["callbacks"][now.state_key])
    assert (now.patience, now.wait_count) == (2, 1)
