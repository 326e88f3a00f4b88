"""The state between two batches: taken, saved as plain values, and gone back to."""

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


def through_a_file(state: Any) -> Any:
    """What torch.load gives back of what torch.save wrote."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
@pytest.mark.parametrize("before", [0, 1, 700])
def test_every_generator_goes_back(draw: Callable[[], Any], before: int) -> None:
    for _ in range(before):
        draw()
    state = through_a_file(random_state())
    expected = draw()
    assert draw() != expected
    set_random_state(state)
    assert draw() == expected


def test_taking_the_state_changes_nothing() -> None:
    state = random_state()
    expected = [draw() for draw in DRAWS.values()]
    set_random_state(state)
    random_state()
    assert [draw() for draw in DRAWS.values()] == expected


class Watched(nn.Module):
    """A module with metrics at several depths."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = MeanMetric()
        self.goes_over: dict[str, Any] = {"state": torch.tensor([0.5])}
        self.deeper = nn.ModuleDict({"accuracy": MulticlassAccuracy(3, average="macro"), "never": MeanMetric()})

    def see(self, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.loss.update(torch.rand(4, generator=random), weight=torch.rand(4, generator=random))
        self.deeper["accuracy"].update(torch.randint(3, (9,), generator=random), torch.arange(9) % 3)

    def figures(self) -> list[float]:
        metrics: list[Any] = [self.loss, self.deeper["accuracy"]]
        return [float(metric.compute()) for metric in metrics]

    def recurrent_state(self) -> dict[str, Any]:
        return dict(self.goes_over)

    def load_recurrent_state(self, saved: dict[str, Any]) -> None:
        self.goes_over = saved


@pytest.fixture
def half_seen() -> Watched:
    """In the middle of its epoch."""
    module = Watched()
    for seed in (1, 2):
        module.see(seed)
    return module


def test_half_an_epochs_sums_go_on_in_another_process(half_seen: Watched) -> None:
    saved = through_a_file(metric_sums(half_seen))
    other = Watched()
    set_metric_sums(other, saved)
    for module in (half_seen, other):
        module.see(3)
    assert other.figures() == half_seen.figures()
    assert other.deeper["accuracy"].update_count == 3


def test_sums_replace_what_was_there_and_what_was_computed_of_it(half_seen: Watched) -> None:
    expected, saved = half_seen.figures(), metric_sums(half_seen)
    other = Watched()
    other.see(9)
    other.figures()
    set_metric_sums(other, saved)
    assert other.figures() == expected


def test_what_was_taken_does_not_move_on(half_seen: Watched) -> None:
    saved = metric_sums(half_seen)
    before = {name: dict(entry["sums"]) for name, entry in saved.items()}
    half_seen.see(3)
    assert all(torch.equal(saved[name]["sums"][key], value) for name in before for key, value in before[name].items())


def test_a_metric_that_saw_nothing_is_left_out(half_seen: Watched) -> None:
    assert set(metric_sums(half_seen)) == {"loss", "deeper.accuracy"}


def test_a_metric_that_keeps_everything_is_left_out() -> None:
    module = nn.Module()
    module.curve = BinaryAUROC()
    module.curve.update(torch.tensor([0.2, 0.7]), torch.tensor([0, 1]))
    assert isinstance(module.curve, Metric)
    assert metric_sums(module) == {}


def fake_trainer(**changed: Any) -> Any:
    """A Trainer as far as a TrainingState looks at it."""
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=5), _restarting=True)
    told: dict[str, Any] = {"world_size": 1, "global_rank": 0, "global_step": 5, "lightning_module": Watched()}
    return SimpleNamespace(**told | {"callback_metrics": {}} | changed, fit_loop=loop)


def saved_state(**changed: Any) -> tuple[dict[str, Any], list[float]]:
    """A state through a file, and the numbers that come next."""
    trainer = fake_trainer(**changed)
    trainer.lightning_module.see(1)
    state = TrainingState()
    state.restore_once(trainer)
    return through_a_file(state.gather(trainer)), torch.rand(3).tolist()


def test_the_first_batch_has_the_numbers_and_sums_it_would_have_had() -> None:
    saved, expected = saved_state()
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved)
    state.restore_once(trainer)
    assert torch.rand(3).tolist() == expected
    assert trainer.lightning_module.loss.update_count == 1


def test_what_callbacks_watch_is_there_before_the_next_validation() -> None:
    saved, _ = saved_state(callback_metrics={"val/loss": torch.tensor(0.25)})
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved)
    state.restore_once(trainer)
    assert trainer.callback_metrics == {"val/loss": torch.tensor(0.25)}


def test_schedules_are_told_of_the_epoch_that_went_on() -> None:
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved_state()[0])
    state.restore_once(trainer)
    assert not trainer.fit_loop._restarting, "or Lightning would leave its end out"


def test_only_the_first_batch_goes_back() -> None:
    saved, expected = saved_state()
    trainer, state = fake_trainer(), TrainingState()
    state.load(saved)
    for _ in range(2):
        state.restore_once(trainer)
        drawn = torch.rand(3).tolist()
    assert drawn != expected


def test_the_next_logged_step_goes_back() -> None:
    saved, _ = saved_state()
    trainer, state = fake_trainer(), TrainingState()
    trainer.fit_loop.epoch_loop._batches_that_stepped = 6
    state.load(saved)
    state.restore_once(trainer)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 5


def test_what_goes_over_between_batches_goes_back() -> None:
    saved, _ = saved_state()
    trainer = fake_trainer()
    trainer.lightning_module.goes_over = {}
    state = TrainingState()
    state.load(saved)
    state.restore_once(trainer)
    assert torch.equal(trainer.lightning_module.goes_over["state"], torch.tensor([0.5]))


def test_with_other_ranks_only_the_step_goes_back() -> None:
    saved, expected = saved_state()
    trainer, state = fake_trainer(world_size=2), TrainingState()
    trainer.fit_loop.epoch_loop._batches_that_stepped = 6
    state.load(saved)
    state.restore_once(trainer)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 5
    assert trainer.lightning_module.loss.update_count == 0
    assert torch.rand(3).tolist() != expected


def test_every_rank_goes_back_to_its_own_numbers() -> None:
    (first, of_first), (second, of_second) = saved_state(), saved_state()
    saved = {**first, "ranks": [*first["ranks"], *second["ranks"]]}
    for rank, expected in enumerate((of_first, of_second)):
        state = TrainingState()
        state.load(saved)
        state.restore_once(fake_trainer(world_size=2, global_rank=rank))
        assert torch.rand(3).tolist() == expected
    assert of_first != of_second


def test_the_clock_and_the_end_are_kept() -> None:
    trainer, state = fake_trainer(), TrainingState()
    state.load({**saved_state()[0], "seconds": 100.0, "finished": True})
    assert 100 <= state.seconds < 101
    assert state.finished
    assert 100 <= state.gather(trainer)["seconds"] < 101
