"""Packing a batch into dense pieces: lossless, and padding rows do not change the state."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_checks import (
    D,
    assert_all_close,
    cell_state,
    gradients,
    make_plan,
    make_stack,
    numbers,
    random_cell,
    random_state,
    raw_lengths,
    unroll,
)
from torch import Tensor

from sluice.recurrent import lengths as lengths_module
from sluice.recurrent.packing import Packing
from sluice.recurrent.scan import force_backend, scan_kernel
from sluice.recurrent.states import LSTMState

MAX_PADDINGS = [0, 1, 3, 1000]
light = settings(deadline=None, max_examples=6, derandomize=True)
every_max_padding = pytest.mark.parametrize("max_padding", MAX_PADDINGS)
any_lengths = given(lengths=raw_lengths, surplus=st.integers(0, 2))


def packing_of(lengths: list[int], surplus: int, max_padding: int) -> Packing:
    given_order = torch.tensor(lengths)
    ordered, order = given_order.sort(descending=True, stable=True)
    return Packing(ordered, order.argsort(), max(lengths) + surplus, torch.device("cpu"), max_padding=max_padding)


def test_batch_is_cut_where_padding_would_cost_more() -> None:
    lengths = [2, 5, 9, 9]
    assert packing_of(lengths, 0, 0).pieces == [(2, 4), (3, 3), (4, 2)]
    assert packing_of(lengths, 0, 3).pieces == [(5, 4), (4, 2)]
    assert packing_of(lengths, 0, 11).pieces == [(9, 4)]
    assert not packing_of(lengths, 0, 0).has_padding
    assert packing_of(lengths, 0, 3).has_padding


@every_max_padding
@pytest.mark.parametrize("batch_first", [False, True])
@light
@any_lengths
def test_pack_and_pad_round_trip(lengths: list[int], surplus: int, max_padding: int, batch_first: bool) -> None:
    packing, plan = packing_of(lengths, surplus, max_padding), make_plan(lengths, surplus)
    features = numbers(len(lengths), plan.steps, 3)
    inputs = features if batch_first else plan.to_time_major(features)
    directions = [packing.pack(inputs, reverse=reverse, batch_first=batch_first) for reverse in (False, True)]
    for count in (1, 2):
        padded, last = packing.unpack(directions[:count], batch_first=batch_first)
        back = padded if batch_first else plan.to_batch_major(padded)
        for row, length in enumerate(lengths):
            assert torch.equal(back[row, :length], torch.cat([features[row, :length]] * count, -1))
            assert not back[row, length:].any()
            assert torch.equal(plan.restore_rows(last[0])[row], features[row, length - 1])
            assert count == 1 or torch.equal(plan.restore_rows(last[1])[row], features[row, 0])


@every_max_padding
def test_padding_steps_are_marked_and_zero(max_padding: int) -> None:
    packing = packing_of([4, 1, 3], 1, max_padding)
    pieces = packing.pack(torch.ones(3, 5, 2), batch_first=True, mark_padding=True)
    assert [piece.shape[:2] for piece in pieces] == packing.pieces
    rows = torch.cat([piece.flatten(0, 1) for piece in pieces])
    assert int((rows[:, 2] == 0).sum()) == 4 + 1 + 3
    assert torch.equal(rows[:, 0], 1 - rows[:, 2])
    assert torch.equal(rows[:, 1], 1 - rows[:, 2])


@every_max_padding
@pytest.mark.parametrize("batch_first", [False, True])
def test_packing_is_twice_differentiable(max_padding: int, batch_first: bool) -> None:
    packing = packing_of([1, 3, 2], 1, max_padding)
    shape = (3, 4, 2) if batch_first else (4, 3, 2)

    def there_and_back(inputs: Tensor) -> tuple[Tensor, ...]:
        pieces = [packing.pack(inputs, reverse=reverse, batch_first=batch_first) for reverse in (False, True)]
        padded, last = packing.unpack([[piece.square() for piece in own] for own in pieces], batch_first=batch_first)
        return padded, *last

    inputs = numbers(*shape).requires_grad_()
    assert torch.autograd.gradcheck(there_and_back, (inputs,))
    assert torch.autograd.gradgradcheck(there_and_back, (inputs,))


@every_max_padding
@light
@any_lengths
def test_lstm_kernel_with_padding_equals_the_unrolled_step(lengths: list[int], surplus: int, max_padding: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths_module, "CALL_COST", max_padding)
        cell, plan = random_cell("lstm"), make_plan(lengths, surplus)
        assert plan.coalesced.pieces == packing_of(lengths, surplus, max_padding).pieces
        inputs, state = numbers(plan.steps, plan.batch_size, D).requires_grad_(), cell_state(cell, plan.batch_size)
        leaves = [inputs, *state, *cell.parameters()]
        ours = scan_kernel(cell, inputs, state, plan, cell.recurrence(plan.batch_size))
        theirs = unroll(cell, cell.project(inputs), state, plan, cell.recurrence(plan.batch_size))
    results, expected = [ours.outputs, *ours.final], [theirs.outputs, *theirs.final]
    assert_all_close(results, expected)
    assert_all_close(gradients(results, leaves), gradients(expected, leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_padding_steps_do_not_change_the_state(dtype: torch.dtype) -> None:
    cell = random_cell("lstm").to(dtype)
    padding = torch.zeros(50, 4, D + 1, dtype=dtype)
    padding[..., D] = 1
    state = LSTMState(*(tensor.detach().to(dtype).requires_grad_() for tensor in cell_state(cell, 4)))
    final = cell.run_kernel(padding, state, cell.recurrence(4), cell.freezing_weight())[1]
    assert torch.equal(final.cell, state.cell)
    of_hidden, of_cell = torch.autograd.grad(final.cell.sum(), [state.hidden, state.cell])
    assert torch.equal(of_cell, torch.ones_like(of_cell))
    assert not of_hidden.any()


def test_autocast_state_has_the_dtype_of_the_weights() -> None:
    stack = make_stack("lstm", num_layers=2, bidirectional=True, dtype=torch.float32)
    inputs, lengths = numbers(3, 4, D, dtype=torch.float32), torch.tensor([4, 2, 3])
    with torch.autocast("cpu", torch.bfloat16):
        state = stack(inputs, lengths).state
    assert {tensor.dtype for tensor in state} == {torch.float32}
    assert stack(inputs, lengths, state).outputs.dtype == torch.float32


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@every_max_padding
@pytest.mark.parametrize("residual", [False, True])
def test_bidirectional_stack_does_not_depend_on_the_cuts(
    max_padding: int, residual: bool, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lengths_module, "CALL_COST", max_padding)
    stack = make_stack("lstm", num_layers=3, bidirectional=True, residual=residual, dtype=dtype)
    lengths = torch.tensor([3, 6, 1, 6, 4])
    inputs, state = numbers(5, 7, D, dtype=dtype).requires_grad_(), random_state(stack, 5, dtype)
    leaves = [inputs, *stack.parameters()]
    outputs, final = stack(inputs, lengths, state)
    with force_backend("steps"):
        expected_outputs, expected_final = stack(inputs, lengths, state)
    ours, theirs = [outputs, *final], [expected_outputs, *expected_final]
    assert_all_close(ours, theirs, tolerance)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves), tolerance)
    assert outputs.is_contiguous()


def test_wrong_number_of_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="batch of 2 sequences needs 2 lengths, got 1"):
        make_stack("lstm")(numbers(2, 3, D), torch.tensor([3]))


def test_plan_reads_no_data_from_the_device() -> None:
    stack = make_stack("lstm", bidirectional=True).to("meta")
    assert stack(torch.empty(2, 3, D, device="meta", dtype=torch.float64), torch.tensor([3, 2])).outputs.is_meta
