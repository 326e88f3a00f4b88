"""The length plan of a batch: sorting, pieces and reversal are lossless."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_checks import numbers, one_hot_batch, raw_lengths
from torch import Tensor

from sluice.recurrent import OneHot
from sluice.recurrent.lengths import LengthPlan

CPU = torch.device("cpu")
any_lengths = given(lengths=raw_lengths, surplus=st.integers(0, 2))
light = settings(deadline=None, max_examples=30, derandomize=True)


def make_plan(lengths: list[int], surplus: int) -> LengthPlan:
    return LengthPlan(torch.tensor(lengths), max(lengths) + surplus, CPU)


def parts(inputs: Tensor | OneHot) -> list[Tensor]:
    return [inputs.ids, inputs.scale] if isinstance(inputs, OneHot) else [inputs]  # type: ignore[list-item]


def batches(batch_size: int, steps: int) -> list[Tensor | OneHot]:
    """One batch of each input type."""
    return [numbers(batch_size, steps, 3), one_hot_batch(batch_size, steps, 9, scaled=True)]


@light
@any_lengths
def test_time_major_is_sorted_longest_first(lengths: list[int], surplus: int) -> None:
    plan = make_plan(lengths, surplus)
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    assert plan.lengths.tolist() == [lengths[row] for row in order]
    for batch in batches(len(lengths), plan.steps):
        for before, after in zip(parts(batch), parts(plan.to_time_major(batch)), strict=True):
            assert torch.equal(after, before[order].transpose(0, 1))


@light
@any_lengths
def test_reordering_round_trip_is_the_identity(lengths: list[int], surplus: int) -> None:
    plan = make_plan(lengths, surplus)
    features, state = numbers(len(lengths), plan.steps, 3), numbers(4, len(lengths), 3)
    assert torch.equal(plan.to_batch_major(plan.to_time_major(features)), features)
    assert torch.equal(plan.restore_rows(plan.sort_rows(state)), state)


@light
@any_lengths
def test_reversal_is_per_sequence_and_its_own_inverse(lengths: list[int], surplus: int) -> None:
    plan = make_plan(lengths, surplus)
    for batch in batches(len(lengths), plan.steps):
        major = plan.to_time_major(batch)
        turned = plan.reverse(major)
        for before, after in zip(parts(major), parts(turned), strict=True):
            for row, length in enumerate(plan.lengths.tolist()):
                assert torch.equal(after[:length, row], before[:length, row].flip(0))
        for before, after in zip(parts(major), parts(plan.reverse(turned)), strict=True):
            assert torch.equal(after, before)


@light
@any_lengths
def test_pieces_cover_every_step_of_every_sequence_once(lengths: list[int], surplus: int) -> None:
    active = [rows for steps, rows in make_plan(lengths, surplus).exact.pieces for _ in range(steps)]
    assert active == [sum(length > step for length in lengths) for step in range(max(lengths))]


@light
@any_lengths
def test_reordering_passes_gradients_to_their_positions(lengths: list[int], surplus: int) -> None:
    plan = make_plan(lengths, surplus)
    features = numbers(len(lengths), plan.steps, 2).requires_grad_()
    weights = numbers(*features.shape, seed=5)
    there_and_back = plan.to_batch_major(plan.reverse(plan.reverse(plan.to_time_major(features))))
    assert torch.equal(torch.autograd.grad((there_and_back * weights).sum(), features)[0], weights)


def test_reordering_is_twice_differentiable() -> None:
    plan = make_plan([1, 3, 2], 1)
    features = numbers(3, 4, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: plan.reverse(plan.to_time_major(x)).square(), (features,))


@pytest.mark.parametrize("lengths", [[0, 2], [4, 2], [-1], []])
def test_invalid_lengths_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="between 1 and the 3 steps") as error:
        LengthPlan(torch.tensor(lengths, dtype=torch.int64), 3, CPU)
    assert str(lengths) in str(error.value)


def test_lengths_on_another_device_are_refused() -> None:
    with pytest.raises(ValueError, match="must be on the CPU, got meta"):
        LengthPlan(torch.ones(2, dtype=torch.int64, device="meta"), 3, CPU)
