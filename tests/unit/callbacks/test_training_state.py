"""The training state between two batches is captured, saved as plain values and restored."""

import io
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy

from sluice.callbacks.training_state import (
    TrainingState,
    metric_sums,
    random_state,
    set_metric_sums,
    set_random_state,
)

DRAWS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.rand(3).tolist(),
    "torch, normal": lambda: torch.randn(5).tolist(),
    "python": lambda: [random.random() for _ in range(3)],
    "python, gauss": lambda: random.gauss(),
    "numpy": lambda: np.random.rand(3).tolist(),
    "numpy, normal": lambda: float(np.random.standard_normal()),
}


def save_and_load(state: Any) -> Any:
    """The state after torch.save and torch.load."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
@pytest.mark.parametrize("before", [0, 1, 700])
def test_every_random_generator_is_restored(draw: Callable[[], Any], before: int) -> None:
    for _ in range(before):
        draw()
    state = save_and_load(random_state())
    expected = draw()
    assert draw() != expected
    set_random_state(state)
    assert draw() == expected


def test_capturing_the_state_draws_no_random_numbers() -> None:
    state = random_state()
    expected = [draw() for draw in DRAWS.values()]
    set_random_state(state)
    random_state()
    assert [draw() for draw in DRAWS.values()] == expected


class ModuleWithMetrics(nn.Module):
    """A module with metrics at several depths."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = MeanMetric()
        self.carried_state: dict[str, Any] = {"state": torch.tensor([0.5])}
        self.deeper = nn.ModuleDict({"accuracy": MulticlassAccuracy(3, average="macro"), "never": MeanMetric()})

    def update(self, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.loss.update(torch.rand(4, generator=random), weight=torch.rand(4, generator=random))
        self.deeper["accuracy"].update(torch.randint(3, (9,), generator=random), torch.arange(9) % 3)

    def values(self) -> list[float]:
        metrics: list[Any] = [self.loss, self.deeper["accuracy"]]
        return [float(metric.compute()) for metric in metrics]

    def recurrent_state(self) -> dict[str, Any]:
        return dict(self.carried_state)

    def load_recurrent_state(self, saved: dict[str, Any]) -> None:
        self.carried_state = saved


@pytest.fixture
def mid_epoch() -> ModuleWithMetrics:
    """A module in the middle of an epoch."""
    module = ModuleWithMetrics()
    for seed in (1, 2):
        module.update(seed)
    return module


def test_restored_metric_sums_continue_the_epoch(mid_epoch: ModuleWithMetrics) -> None:
    saved = save_and_load(metric_sums(mid_epoch))
    other = ModuleWithMetrics()
    set_metric_sums(other, saved)
    for module in (mid_epoch, other):
        module.update(3)
    assert other.values() == mid_epoch.values()
    assert other.deeper["accuracy"].update_count == 3


def test_restored_sums_replace_values_and_cached_result(mid_epoch: ModuleWithMetrics) -> None:
    expected, saved = mid_epoch.values(), metric_sums(mid_epoch)
    other = ModuleWithMetrics()
    other.update(9)
    other.values()
    set_metric_sums(other, saved)
    assert other.values() == expected


def test_restored_sums_have_the_dtype_of_the_metric(mid_epoch: ModuleWithMetrics) -> None:
    saved = metric_sums(mid_epoch)
    for entry in saved.values():  # as earlier versions saved them in bf16-true
        entry["sums"] = {key: value.bfloat16() for key, value in entry["sums"].items()}
    other = ModuleWithMetrics()
    set_metric_sums(other, saved)
    restored = metric_sums(other)
    assert {value.dtype for entry in restored.values() for value in entry["sums"].values()}.isdisjoint({torch.bfloat16})


def test_captured_sums_are_copies(mid_epoch: ModuleWithMetrics) -> None:
    saved = metric_sums(mid_epoch)
    before = {name: dict(entry["sums"]) for name, entry in saved.items()}
    mid_epoch.update(3)
    assert all(torch.equal(saved[name]["sums"][key], value) for name in before for key, value in before[name].items())


def test_metric_without_updates_is_left_out(mid_epoch: ModuleWithMetrics) -> None:
    assert set(metric_sums(mid_epoch)) == {"loss", "deeper.accuracy"}


def test_metric_with_list_state_is_left_out() -> None:
    module = nn.Module()
    module.curve = BinaryAUROC()
    module.curve.update(torch.tensor([0.2, 0.7]), torch.tensor([0, 1]))
    assert isinstance(module.curve, Metric)
    assert metric_sums(module) == {}


def fake_trainer(**changed: Any) -> Any:
    """A Trainer stub with the attributes that TrainingState reads."""
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=5), _restarting=True)
    attributes: dict[str, Any] = {
        "world_size": 1,
        "global_rank": 0,
        "global_step": 5,
        "lightning_module": ModuleWithMetrics(),
    }
    return SimpleNamespace(**attributes | {"callback_metrics": {}} | changed, fit_loop=loop)


def saved_state(**changed: Any) -> tuple[dict[str, Any], list[float]]:
    """A saved and reloaded state, and the random numbers drawn after it."""
    trainer = fake_trainer(**changed)
    trainer.lightning_module.update(1)
    state = TrainingState()
    state.restore_once(trainer)
    return save_and_load(state.gather(trainer)), torch.rand(3).tolist()


def test_restore_recovers_random_state_and_metric_sums() -> None:
    saved, expected = saved_state()
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved)
    state.restore_once(trainer)
    assert torch.rand(3).tolist() == expected
    assert trainer.lightning_module.loss.update_count == 1


def test_restore_recovers_callback_metrics() -> None:
    saved, _ = saved_state(callback_metrics={"val/loss": torch.tensor(0.25)})
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved)
    state.restore_once(trainer)
    assert trainer.callback_metrics == {"val/loss": torch.tensor(0.25)}


def test_resumed_epoch_runs_its_end_hooks() -> None:
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved_state()[0])
    state.restore_once(trainer)
    assert not trainer.fit_loop._restarting, "else Lightning skips the end of the epoch"


def test_state_is_restored_only_once() -> None:
    saved, expected = saved_state()
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved)
    for _ in range(2):
        state.restore_once(trainer)
        drawn = torch.rand(3).tolist()
    assert drawn != expected


def test_logged_step_is_restored() -> None:
    saved, _ = saved_state()
    trainer, state = fake_trainer(), TrainingState()
    trainer.fit_loop.epoch_loop._batches_that_stepped = 6
    state.load(saved)
    state.restore_once(trainer)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 5


def test_recurrent_state_is_restored() -> None:
    saved, _ = saved_state()
    trainer = fake_trainer()
    trainer.lightning_module.carried_state = {}
    state = TrainingState()
    state.load(saved)
    state.restore_once(trainer)
    assert torch.equal(trainer.lightning_module.carried_state["state"], torch.tensor([0.5]))


def test_other_world_size_restores_only_the_step() -> None:
    saved, expected = saved_state()
    trainer, state = fake_trainer(world_size=2), TrainingState()
    trainer.fit_loop.epoch_loop._batches_that_stepped = 6
    state.load(saved)
    state.restore_once(trainer)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 5
    assert trainer.lightning_module.loss.update_count == 0
    assert torch.rand(3).tolist() != expected


def test_each_rank_restores_its_own_random_state() -> None:
    (first, of_first), (second, of_second) = saved_state(), saved_state()
    saved = {**first, "ranks": [*first["ranks"], *second["ranks"]]}
    for rank, expected in enumerate((of_first, of_second)):
        state = TrainingState()
        state.load(saved)
        state.restore_once(fake_trainer(world_size=2, global_rank=rank))
        assert torch.rand(3).tolist() == expected
    assert of_first != of_second


def test_elapsed_time_and_finished_flag_are_restored() -> None:
    trainer, state = fake_trainer(), TrainingState()
    state.load({**saved_state()[0], "seconds": 100.0, "finished": True})
    assert 100 <= state.seconds < 101
    assert state.finished
    assert 100 <= state.gather(trainer)["seconds"] < 101
