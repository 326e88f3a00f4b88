"""NT-ASGD: SGD steps, start of the averaging, swapping, and restoring the state."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sluice.optim.nt_asgd import NTASGD


def parameters() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(3, 2, generator=draw).requires_grad_(), torch.randn(4, generator=draw).requires_grad_()]


def step(optimizer: NTASGD, weights: list[Tensor], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=draw)
    optimizer.step()


def copies(weights: list[Tensor]) -> list[Tensor]:
    return [weight.detach().clone() for weight in weights]


def start_averaging(optimizer: NTASGD) -> None:
    for loss in (1.0, *[2.0] * (optimizer.param_groups[0]["patience"] + 1)):
        optimizer.record_validation(loss)
    assert optimizer.averaging


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("averaging", [False, True])
def test_steps_equal_those_of_sgd(decay: float, averaging: bool) -> None:
    ours, theirs = parameters(), parameters()
    optimizer = NTASGD(ours, lr=0.3, weight_decay=decay)
    sgd: Any = torch.optim.SGD(theirs, lr=0.3, weight_decay=decay)
    if averaging:
        start_averaging(optimizer)
    for number in range(5):
        step(optimizer, ours, number)
        step(sgd, theirs, number)
    torch.testing.assert_close(ours, theirs)


@given(st.lists(st.floats(0.5, 9), min_size=1, max_size=20), st.integers(1, 5))
def test_averaging_starts_as_in_algorithm_1(losses: list[float], patience: int) -> None:
    """T is set at the first t > n with a loss above the minimum of the losses before the last n."""
    optimizer = NTASGD(parameters(), patience=patience)
    logs: list[float] = []
    started = False
    for loss in losses:
        t = len(logs)
        started = started or (t > patience and loss > min(logs[: t - patience]))
        logs.append(loss)
        optimizer.record_validation(loss)
        assert optimizer.averaging == started


def test_swap_gives_the_average_since_the_start() -> None:
    weights = parameters()
    optimizer = NTASGD(weights, lr=0.3, patience=1)
    for number in range(3):
        step(optimizer, weights, number)
    start_averaging(optimizer)
    since = [copies(weights)]  # w_T
    for number in range(3, 10):
        step(optimizer, weights, number)
        since.append(copies(weights))
    optimizer.swap()
    expected = [torch.stack(own).mean(0) for own in zip(*since, strict=True)]
    torch.testing.assert_close(copies(weights), expected)
    optimizer.swap()
    assert all(torch.equal(one, other) for one, other in zip(weights, since[-1], strict=True)), "bit-identical"


def test_swap_does_nothing_before_averaging() -> None:
    weights = parameters()
    optimizer = NTASGD(weights, lr=0.3)
    step(optimizer, weights, 1)
    before = copies(weights)
    optimizer.swap()
    assert all(torch.equal(one, other) for one, other in zip(weights, before, strict=True))


@pytest.mark.parametrize("saved_at", [2, 9])
def test_loaded_state_continues_identically(saved_at: int) -> None:
    def run(numbers: range, weights: list[Tensor], optimizer: NTASGD) -> None:
        for number in numbers:
            step(optimizer, weights, number)
            optimizer.record_validation([5.0, 4.0, 4.5, 4.6, 4.7, 4.8, 4.9, 5.0, 5.0, 5.0, 5.0, 5.0][number])

    weights = parameters()
    optimizer = NTASGD(weights, lr=0.3, patience=2)
    run(range(saved_at), weights, optimizer)
    assert optimizer.averaging == (saved_at == 9)
    again = [weight.detach().clone().requires_grad_() for weight in weights]
    other = NTASGD(again, lr=0.1, patience=7)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    for own, own_optimizer in ((weights, optimizer), (again, other)):
        run(range(saved_at, 12), own, own_optimizer)
        own_optimizer.swap()
    assert optimizer.averaging
    assert all(torch.equal(one, two) for one, two in zip(weights, again, strict=True))


def test_weights_without_gradient_are_unchanged() -> None:
    weights = parameters()
    optimizer = NTASGD(weights, lr=0.3, weight_decay=0.1)
    before = copies(weights)
    weights[1].grad = torch.ones(4)
    optimizer.step()
    assert torch.equal(weights[0], before[0])
    assert not torch.equal(weights[1], before[1])


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"lr": -1.0}, {"weight_decay": -0.1}, {"patience": 0}], ids=str)
def test_invalid_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="lr must be above 0, weight_decay at least 0 and patience at least 1"):
        NTASGD(parameters(), **options)
