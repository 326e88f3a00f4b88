"""Every way through time equals the step that reads like the equations."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recurrent_checks import (
    ALL_CELLS,
    D,
    H,
    assert_all_close,
    cell_state,
    everything,
    gradients,
    make_plan,
    numbers,
    one_hot_batch,
    random_cell,
    raw_lengths,
    unroll,
)
from torch import Tensor

from sluice.recurrent import CELLS, Cell, HiddenState, Recurrence, State
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.scan import (
    Scanned,
    choose_way,
    forced,
    scan,
    scan_fused,
    scan_kernel,
    scan_packed,
    scan_steps,
)

WITH_KERNEL = [name for name in ALL_CELLS if CELLS[name].kernel is not None]
CASES = [(name, way) for name in ALL_CELLS for way in ("fused", "steps")]
CASES += [(name, way) for name in WITH_KERNEL for way in ("kernel", "packed")]
FORCED = [(name, way) for name, way in CASES if way != "packed"]
"""A scan takes the packed way on CUDA alone."""
every_cell = pytest.mark.parametrize("name", ALL_CELLS)
every_way = pytest.mark.parametrize(("name", "way"), CASES)


def run(way: str, cell: Cell, inputs: Tensor, state: State, plan: LengthPlan) -> Scanned:
    recurrent = cell.recurrence(plan.batch_size)
    if way == "kernel":
        return scan_kernel(cell, inputs, state, plan, recurrent)
    if way == "packed":
        return scan_packed(cell, inputs, state, plan, recurrent)
    by = scan_fused if way == "fused" else scan_steps
    return by(cell, cell.project(inputs), state, plan, recurrent)


def reference(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan) -> Scanned:
    return unroll(cell, cell.project(inputs), state, plan, cell.recurrence(plan.batch_size))


def beginning(cell: Cell, plan: LengthPlan) -> tuple[Tensor, State, list[Tensor]]:
    """Inputs, initial state and all that gradients may be asked of."""
    inputs, state = numbers(plan.steps, plan.batch_size, D).requires_grad_(), cell_state(cell, plan.batch_size)
    return inputs, state, [inputs, *state, *cell.parameters()]


@every_way
@settings(deadline=None, max_examples=8, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
@example(lengths=[3, 1, 3, 2], surplus=1)
@example(lengths=[1, 1], surplus=2)
@example(lengths=[4, 4], surplus=0)
def test_every_way_equals_the_unrolled_step(name: str, way: str, lengths: list[int], surplus: int) -> None:
    cell, plan = random_cell(name), make_plan(lengths, surplus)
    inputs, state, leaves = beginning(cell, plan)
    scanned, expected = run(way, cell, inputs, state, plan), reference(cell, inputs, state, plan)
    ours, theirs = everything(scanned), everything(expected)[: None if scanned.states else 1 + len(state)]
    assert type(scanned.final) is cell.state_type
    assert (scanned.states is None) == (way in ("kernel", "packed"))
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


@pytest.mark.parametrize(("name", "way"), FORCED)
def test_a_forced_scan_takes_that_way(name: str, way: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1, 3], 1)
    inputs, state, leaves = beginning(cell, plan)
    with forced(way):
        ours = everything(scan(cell, inputs, state, plan))
    theirs = everything(run(way, cell, inputs, state, plan))
    assert_all_close(ours, theirs, tolerance=0)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


@every_way
def test_gradients_of_a_part_equal_those_of_steps(name: str, way: str) -> None:
    cell, plan = random_cell(name), make_plan([4, 2, 2, 1], 1)
    inputs, state, leaves = beginning(cell, plan)
    scanned, expected = run(way, cell, inputs, state, plan), reference(cell, inputs, state, plan)
    for ours, theirs in zip(everything(scanned), everything(expected), strict=False):
        assert_all_close(kept_gradients(ours, leaves), kept_gradients(theirs, leaves))


def kept_gradients(result: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    loss = (result * numbers(*result.shape, seed=90)).sum()
    return list(torch.autograd.grad(loss, leaves, materialize_grads=True, retain_graph=True))


@every_cell
def test_gradients_reach_whoever_asks_alone(name: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 2])
    inputs, state, leaves = beginning(cell, plan)
    together = gradients(everything(reference(cell, inputs, state, plan)), leaves)
    for leaf, expected in zip(leaves, together, strict=True):
        for other in leaves:
            other.requires_grad_(other is leaf)
        assert_all_close(gradients(everything(run("fused", cell, inputs, state, plan)), [leaf]), [expected])


@every_way
def test_two_backward_passes_give_the_same(name: str, way: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1])
    inputs, state, leaves = beginning(cell, plan)
    loss = sum((result * result).sum() for result in everything(run(way, cell, inputs, state, plan)))
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    assert_all_close(torch.autograd.grad(loss, leaves), first, tolerance=0)


@every_cell
@pytest.mark.parametrize("lengths", [[1], [3, 2]])
def test_fused_refuses_second_derivatives(name: str, lengths: list[int]) -> None:
    cell, plan = random_cell(name), make_plan(lengths)
    inputs, state, _ = beginning(cell, plan)
    outputs = run("fused", cell, inputs, state, plan).outputs
    with pytest.raises(RuntimeError, match=r"cannot be differentiated twice.*`step` can"):
        torch.autograd.grad(outputs.sum(), state[0], create_graph=True)


@every_cell
def test_steps_give_second_derivatives(name: str) -> None:
    cell, plan = random_cell(name, hidden_size=2), make_plan([2, 1])
    inputs, state, _ = beginning(cell, plan)

    def outputs(inputs: Tensor, *fields: Tensor) -> Tensor:
        return run("steps", cell, inputs, cell.state_type(*fields), plan).outputs

    assert torch.autograd.gradgradcheck(outputs, (inputs, *state))


@every_way
def test_scans_leave_their_arguments_alone(name: str, way: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1], 1)
    inputs, state, leaves = beginning(cell, plan)
    before = [tensor.detach().clone() for tensor in leaves]
    gradients(everything(run(way, cell, inputs, state, plan)), leaves)
    with forced("kernel" if way == "packed" else way):
        gradients(everything(scan(cell, inputs, state, plan)), leaves)
    assert_all_close([tensor.detach() for tensor in leaves], before, tolerance=0)


@every_cell
@pytest.mark.parametrize("way", [scan_fused, scan_steps])
def test_pre_activations_and_state_are_left_alone(name: str, way: object) -> None:
    cell, plan = random_cell(name), make_plan([3, 1], 1)
    projected, state = numbers(4, 2, len(cell.gates) * H).requires_grad_(), cell_state(cell, 2)
    before = [tensor.detach().clone() for tensor in (projected, *state)]
    scanned = way(cell, projected, state, plan, cell.recurrence(2))  # type: ignore[operator]
    gradients(everything(scanned), [projected, *state])
    assert_all_close([tensor.detach() for tensor in (projected, *state)], before, tolerance=0)


@pytest.mark.parametrize(("name", "way"), FORCED)
def test_nothing_in_the_padding_is_read(name: str, way: str) -> None:
    cell, plan = random_cell(name), make_plan([4, 2, 1], surplus=2)
    clean, state, (_, *leaves) = beginning(cell, plan)
    dirty = clean.detach().masked_fill(~plan.mask().unsqueeze(-1), float("nan")).requires_grad_()
    with forced(way):
        results = [everything(scan(cell, inputs, state, plan)) for inputs in (dirty, clean)]
    assert_all_close(*results)
    of_dirty, of_clean = gradients(results[0], [dirty, *leaves]), gradients(results[1], [clean, *leaves])
    assert_all_close(of_dirty, of_clean)


@pytest.mark.parametrize("name", WITH_KERNEL)
@settings(deadline=None, max_examples=15, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
def test_packed_equals_pieces(name: str, lengths: list[int], surplus: int) -> None:
    cell, plan = random_cell(name), make_plan(lengths, surplus)
    inputs, state, leaves = beginning(cell, plan)
    packed, pieces = [everything(run(way, cell, inputs, state, plan)) for way in ("packed", "kernel")]
    assert_all_close(packed, pieces)
    assert_all_close(gradients(packed, leaves), gradients(pieces, leaves))


@every_cell
def test_scan_makes_the_recurrent_product_where_none_is_given(name: str) -> None:
    cell, plan = random_cell(name, recurrent_dropout=0.5).train(), make_plan([3, 3, 1])
    inputs, state, _ = beginning(cell, plan)
    torch.manual_seed(3)
    own = scan(cell, inputs, state, plan)
    torch.manual_seed(3)
    given_one = scan(cell, inputs, state, plan, cell.recurrence(3))
    assert_all_close(everything(own), everything(given_one), tolerance=0)


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_dropped_weights_reach_torchs_kernel(name: str) -> None:
    cell, plan = random_cell(name, weight_dropout=0.5).train(), make_plan([3, 3, 1])
    inputs, state, leaves = beginning(cell, plan)
    results = []
    for way in ("kernel", "steps"):
        torch.manual_seed(3)
        results.append(everything(run(way, cell, inputs, state, plan))[: 1 + len(state)])
    assert_all_close(*results)
    assert_all_close(*(gradients(result, leaves) for result in results))


@every_cell
def test_states_come_when_asked_for(name: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 3, 1])
    inputs, state, _ = beginning(cell, plan)
    scanned = scan(cell, inputs, state, plan, every_state=True)
    assert_all_close(everything(scanned), everything(reference(cell, inputs, state, plan)))


def way_of(cell: Cell, *, one_hot: bool = False, every_state: bool = False) -> str:
    inputs = one_hot_batch(2, 3, D) if one_hot else numbers(2, 3, D)
    return choose_way(cell, inputs, cell.recurrence(3), every_state)


@every_cell
def test_the_lstm_takes_torchs_kernel_on_a_cpu_and_every_other_cell_its_own_scan(name: str) -> None:
    assert way_of(random_cell(name)) == ("kernel" if name == "lstm" else "fused")


def test_what_torchs_kernel_cannot_do_is_fused() -> None:
    assert way_of(random_cell("lstm"), every_state=True) == "fused"
    assert way_of(random_cell("lstm", one_hot=True), one_hot=True) == "fused"
    assert way_of(random_cell("lstm", activation="relu")) == "fused"
    assert way_of(random_cell("lstm", cell_activation="relu")) == "fused"
    assert way_of(random_cell("lstm", recurrent_dropout=0.5).train()) == "fused"
    assert way_of(random_cell("lstm", recurrent_dropout=0.5).eval()) == "kernel"
    assert way_of(random_cell("lstm", weight_dropout=0.5).train()) == "kernel"


class Bare(Cell):
    """A cell of which only the step is written."""

    gates = ("new",)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        new = torch.sin(projected + recurrent(state.hidden))
        return HiddenState(new), (new,)


def test_a_cell_of_which_only_the_step_is_written_goes_by_steps() -> None:
    cell, plan = Bare(input_size=D, hidden_size=H).double(), make_plan([3, 1])
    inputs, state, leaves = beginning(cell, plan)
    assert way_of(cell) == way_of(cell, every_state=True) == "steps"
    ours, theirs = everything(scan(cell, inputs, state, plan)), everything(reference(cell, inputs, state, plan))
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


def test_the_innermost_forced_way_counts_and_ends_with_its_block() -> None:
    cell = random_cell("gru")
    with forced("kernel"):
        with forced("steps"):
            assert way_of(cell) == "steps"
        assert way_of(cell) == "kernel"
    assert way_of(cell) == "fused"


def test_a_forced_way_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), forced("steps"):
        raise KeyError
    assert way_of(random_cell("gru")) == "fused"


def test_unknown_way_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'pieces'.*kernel, fused, steps"), forced("pieces"):
        pass
