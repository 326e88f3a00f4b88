"""Every fast way through time equals the step that reads like the equations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_checks import ALL_CELLS, D, H, assert_all_close, gradients, numbers, randomise, raw_lengths
from torch import Tensor

from sluice.recurrent import CELLS, Cell, LSTMState, State, make_cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.scan import scan_packed, scan_pieces

WITH_KERNEL = [name for name in ALL_CELLS if CELLS[name].kernel is not None]
every_cell = pytest.mark.parametrize("name", ALL_CELLS)


def random_cell(name: str) -> Cell:
    cell = make_cell(name, input_size=D, hidden_size=H).double()
    randomise(cell)
    return cell


def random_state(cell: Cell, batch_size: int) -> State:
    fields = range(len(cell.state_type._fields))
    return cell.state_type(*(numbers(batch_size, H, seed=20 + k).requires_grad_() for k in fields))


def unroll(cell: Cell, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """The reference: one `step` after another."""
    outputs = []
    for projected in cell.project(inputs):
        state = cell.step(projected, state)
        outputs.append(state.hidden)
    return torch.stack(outputs), state


@every_cell
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("way", ["scan", "scan_projected"])
def test_scan_equals_steps(name: str, steps: int, way: str) -> None:
    cell = random_cell(name)
    inputs, state = numbers(steps, 3, D).requires_grad_(), random_state(cell, 3)
    outputs, final = cell.scan(inputs, state) if way == "scan" else cell.scan_projected(cell.project(inputs), state)
    expected, expected_final = unroll(cell, inputs, state)

    ours, theirs = (outputs, *final), (expected, *expected_final)
    leaves = [inputs, *state, *cell.parameters()]
    assert type(final) is cell.state_type
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


@every_cell
@pytest.mark.parametrize("part", ["outputs", "final"])
def test_gradients_of_a_part_equal_those_of_steps(name: str, part: str) -> None:
    cell = random_cell(name)
    inputs, state = numbers(4, 2, D).requires_grad_(), random_state(cell, 2)
    leaves = [inputs, *state, *cell.parameters()]
    ways = (cell.scan_projected(cell.project(inputs), state), unroll(cell, inputs, state))
    ours, theirs = [gradients([outputs] if part == "outputs" else final, leaves) for outputs, final in ways]
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("part", ["outputs", "hidden", "cell", "all"])
def test_hand_written_lstm_backward_is_the_derivative(steps: int, part: str) -> None:
    cell = random_cell("lstm")
    projected = numbers(steps, 2, 4 * H).requires_grad_()
    state = random_state(cell, 2)

    def run(projected: Tensor, weight_hh: Tensor, bias_hh: Tensor, hidden: Tensor, memory: Tensor) -> object:
        # weight_hh and bias_hh are the cell's own: gradcheck moves them in place
        outputs, final = cell.scan_projected(projected, LSTMState(hidden, memory))
        return {"outputs": outputs, "hidden": final[0], "cell": final[1], "all": (outputs, *final)}[part]

    assert torch.autograd.gradcheck(run, (projected, cell.weight_hh, cell.bias_hh, *state))


def test_hand_written_lstm_backward_runs_twice() -> None:
    cell = random_cell("lstm")
    projected, state = numbers(3, 2, 4 * H).requires_grad_(), random_state(cell, 2)
    outputs, _ = cell.scan_projected(projected, state)
    leaves = [projected, *state, cell.weight_hh, cell.bias_hh]
    first = torch.autograd.grad(outputs.sum(), leaves, retain_graph=True)
    assert_all_close(torch.autograd.grad(outputs.sum(), leaves), first)


@pytest.mark.parametrize("steps", [1, 3])
def test_hand_written_lstm_refuses_second_derivatives(steps: int) -> None:
    cell = random_cell("lstm")
    projected, state = numbers(steps, 2, 4 * H).requires_grad_(), random_state(cell, 2)
    outputs, _ = cell.scan_projected(projected, state)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        torch.autograd.grad(outputs.sum(), state[0], create_graph=True)


@every_cell
def test_scan_leaves_its_arguments_alone(name: str) -> None:
    cell = random_cell(name)
    projected, state = numbers(3, 2, len(cell.gates) * H), random_state(cell, 2)
    before = [tensor.detach().clone() for tensor in (projected, *state, *cell.parameters())]
    cell.scan_projected(projected, state)
    assert_all_close([tensor.detach() for tensor in (projected, *state, *cell.parameters())], before, tolerance=0)


@pytest.mark.parametrize("name", WITH_KERNEL)
@settings(deadline=None, max_examples=15, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
def test_packed_equals_pieces(name: str, lengths: list[int], surplus: int) -> None:
    cell, steps = random_cell(name), max(lengths) + surplus
    plan = LengthPlan(torch.tensor(lengths), steps, torch.device("cpu"))
    inputs, state = numbers(steps, len(lengths), D).requires_grad_(), random_state(cell, len(lengths))
    leaves = [inputs, *state, *cell.parameters()]
    packed, pieces = [
        (outputs, *final) for outputs, final in (way(cell, inputs, state, plan) for way in (scan_packed, scan_pieces))
    ]
    assert_all_close(packed, pieces)
    assert_all_close(gradients(packed, leaves), gradients(pieces, leaves))
