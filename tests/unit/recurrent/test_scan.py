"""Every backend equals the reference `step`."""

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
    ScanOutput,
    choose_backend,
    force_backend,
    scan,
    scan_fused,
    scan_kernel,
    scan_packed,
    scan_steps,
)

WITH_KERNEL = [name for name in ALL_CELLS if CELLS[name].kernel is not None]
CASES = [(name, backend) for name in ALL_CELLS for backend in ("fused", "steps")]
CASES += [(name, backend) for name in WITH_KERNEL for backend in ("kernel", "packed")]
FORCED = [(name, backend) for name, backend in CASES if backend != "packed"]
"""A scan uses the packed backend on CUDA only."""
every_cell = pytest.mark.parametrize("name", ALL_CELLS)
every_backend = pytest.mark.parametrize(("name", "backend"), CASES)


def run(backend: str, cell: Cell, inputs: Tensor, state: State, plan: LengthPlan) -> ScanOutput:
    recurrent = cell.recurrence(plan.batch_size)
    if backend == "kernel":
        return scan_kernel(cell, inputs, state, plan, recurrent)
    if backend == "packed":
        return scan_packed(cell, inputs, state, plan, recurrent)
    if backend == "fused":
        projected, recurrent = cell.project_fused(inputs, recurrent)
        return scan_fused(cell, projected, state, plan, recurrent)
    return scan_steps(cell, cell.project(inputs), state, plan, recurrent)


def reference(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan) -> ScanOutput:
    return unroll(cell, cell.project(inputs), state, plan, cell.recurrence(plan.batch_size))


def scan_inputs(cell: Cell, plan: LengthPlan) -> tuple[Tensor, State, list[Tensor]]:
    """Inputs, initial state and all tensors that require gradients."""
    inputs, state = numbers(plan.steps, plan.batch_size, D).requires_grad_(), cell_state(cell, plan.batch_size)
    return inputs, state, [inputs, *state, *cell.parameters()]


@every_backend
@settings(deadline=None, max_examples=8, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
@example(lengths=[3, 1, 3, 2], surplus=1)
@example(lengths=[1, 1], surplus=2)
@example(lengths=[4, 4], surplus=0)
def test_every_backend_equals_the_unrolled_step(name: str, backend: str, lengths: list[int], surplus: int) -> None:
    cell, plan = random_cell(name), make_plan(lengths, surplus)
    inputs, state, leaves = scan_inputs(cell, plan)
    scanned, expected = run(backend, cell, inputs, state, plan), reference(cell, inputs, state, plan)
    ours, theirs = everything(scanned), everything(expected)[: None if scanned.states else 1 + len(state)]
    assert type(scanned.final) is cell.state_type
    assert (scanned.states is None) == (backend in ("kernel", "packed"))
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


@pytest.mark.parametrize(("name", "backend"), FORCED)
def test_forced_backend_is_used(name: str, backend: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 3, 3], 0)
    inputs, state, leaves = scan_inputs(cell, plan)
    with force_backend(backend):
        ours = everything(scan(cell, inputs, state, plan))
    theirs = everything(run(backend, cell, inputs, state, plan))
    assert_all_close(ours, theirs, tolerance=0)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


@every_backend
def test_gradients_of_single_results_equal_the_reference(name: str, backend: str) -> None:
    cell, plan = random_cell(name), make_plan([4, 2, 2, 1], 1)
    inputs, state, leaves = scan_inputs(cell, plan)
    scanned, expected = run(backend, cell, inputs, state, plan), reference(cell, inputs, state, plan)
    for ours, theirs in zip(everything(scanned), everything(expected), strict=False):
        assert_all_close(gradients_of_one(ours, leaves), gradients_of_one(theirs, leaves))


def gradients_of_one(result: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    loss = (result * numbers(*result.shape, seed=90)).sum()
    return list(torch.autograd.grad(loss, leaves, materialize_grads=True, retain_graph=True))


@every_cell
def test_gradient_of_a_single_leaf_equals_the_joint_one(name: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 2])
    inputs, state, leaves = scan_inputs(cell, plan)
    together = gradients(everything(reference(cell, inputs, state, plan)), leaves)
    for leaf, expected in zip(leaves, together, strict=True):
        for other in leaves:
            other.requires_grad_(other is leaf)
        assert_all_close(gradients(everything(run("fused", cell, inputs, state, plan)), [leaf]), [expected])


@every_backend
def test_two_backward_passes_give_equal_gradients(name: str, backend: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1])
    inputs, state, leaves = scan_inputs(cell, plan)
    loss = sum((result * result).sum() for result in everything(run(backend, cell, inputs, state, plan)))
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    assert_all_close(torch.autograd.grad(loss, leaves), first, tolerance=0)


@every_cell
@pytest.mark.parametrize("lengths", [[1], [3, 2]])
def test_fused_refuses_second_derivatives(name: str, lengths: list[int]) -> None:
    cell, plan = random_cell(name), make_plan(lengths)
    inputs, state, _ = scan_inputs(cell, plan)
    outputs = run("fused", cell, inputs, state, plan).outputs
    with pytest.raises(RuntimeError, match=r"cannot be differentiated twice.*`step` can"):
        torch.autograd.grad(outputs.sum(), state[0], create_graph=True)


@every_cell
def test_steps_give_second_derivatives(name: str) -> None:
    cell, plan = random_cell(name, hidden_size=2), make_plan([2, 1])
    inputs, state, _ = scan_inputs(cell, plan)

    def outputs(inputs: Tensor, *fields: Tensor) -> Tensor:
        return run("steps", cell, inputs, cell.state_type(*fields), plan).outputs

    assert torch.autograd.gradgradcheck(outputs, (inputs, *state))


@every_backend
def test_scans_do_not_modify_their_arguments(name: str, backend: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1], 1)
    inputs, state, leaves = scan_inputs(cell, plan)
    before = [tensor.detach().clone() for tensor in leaves]
    gradients(everything(run(backend, cell, inputs, state, plan)), leaves)
    with force_backend("kernel" if backend == "packed" else backend):
        gradients(everything(scan(cell, inputs, state, plan)), leaves)
    assert_all_close([tensor.detach() for tensor in leaves], before, tolerance=0)


@every_cell
@pytest.mark.parametrize("backend", [scan_fused, scan_steps])
def test_pre_activations_and_state_are_not_modified(name: str, backend: object) -> None:
    cell, plan = random_cell(name), make_plan([3, 1], 1)
    projected, state = numbers(4, 2, len(cell.gates) * H).requires_grad_(), cell_state(cell, 2)
    before = [tensor.detach().clone() for tensor in (projected, *state)]
    scanned = backend(cell, projected, state, plan, cell.recurrence(2))  # type: ignore[operator]
    gradients(everything(scanned), [projected, *state])
    assert_all_close([tensor.detach() for tensor in (projected, *state)], before, tolerance=0)


@pytest.mark.parametrize(("name", "backend"), FORCED)
def test_padding_is_not_read(name: str, backend: str) -> None:
    cell, plan = random_cell(name), make_plan([4, 2, 1], surplus=2)
    clean, state, (_, *leaves) = scan_inputs(cell, plan)
    dirty = clean.detach().masked_fill(~plan.mask().unsqueeze(-1), float("nan")).requires_grad_()
    with force_backend(backend):
        results = [everything(scan(cell, inputs, state, plan)) for inputs in (dirty, clean)]
    assert_all_close(*results)
    of_dirty, of_clean = gradients(results[0], [dirty, *leaves]), gradients(results[1], [clean, *leaves])
    assert_all_close(of_dirty, of_clean)


@pytest.mark.parametrize("name", WITH_KERNEL)
@settings(deadline=None, max_examples=15, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
def test_packed_equals_pieces(name: str, lengths: list[int], surplus: int) -> None:
    cell, plan = random_cell(name), make_plan(lengths, surplus)
    inputs, state, leaves = scan_inputs(cell, plan)
    packed, pieces = [everything(run(backend, cell, inputs, state, plan)) for backend in ("packed", "kernel")]
    assert_all_close(packed, pieces)
    assert_all_close(gradients(packed, leaves), gradients(pieces, leaves))


@every_cell
def test_scan_creates_the_recurrence_if_none_is_given(name: str) -> None:
    cell, plan = random_cell(name, recurrent_dropout=0.5).train(), make_plan([3, 3, 1])
    inputs, state, _ = scan_inputs(cell, plan)
    torch.manual_seed(3)
    own = scan(cell, inputs, state, plan)
    torch.manual_seed(3)
    given_one = scan(cell, inputs, state, plan, cell.recurrence(3))
    assert_all_close(everything(own), everything(given_one), tolerance=0)


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_torch_kernel_uses_the_dropped_weights(name: str) -> None:
    cell, plan = random_cell(name, weight_dropout=0.5).train(), make_plan([3, 3, 1])
    inputs, state, leaves = scan_inputs(cell, plan)
    results = []
    for backend in ("kernel", "steps"):
        torch.manual_seed(3)
        results.append(everything(run(backend, cell, inputs, state, plan))[: 1 + len(state)])
    assert_all_close(*results)
    assert_all_close(*(gradients(result, leaves) for result in results))


@every_cell
def test_every_state_is_returned_on_request(name: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 3, 1])
    inputs, state, _ = scan_inputs(cell, plan)
    scanned = scan(cell, inputs, state, plan, every_state=True)
    assert_all_close(everything(scanned), everything(reference(cell, inputs, state, plan)))


def backend_of(cell: Cell, *, one_hot: bool = False, every_state: bool = False) -> str:
    inputs = one_hot_batch(2, 3, D) if one_hot else numbers(2, 3, D)
    return choose_backend(cell, inputs, cell.recurrence(3), every_state)


@every_cell
def test_only_the_lstm_uses_the_torch_kernel_on_a_cpu(name: str) -> None:
    assert backend_of(random_cell(name)) == ("kernel" if name == "lstm" else "fused")


def test_options_unsupported_by_the_torch_kernel_are_fused() -> None:
    assert backend_of(random_cell("lstm"), every_state=True) == "fused"
    assert backend_of(random_cell("lstm", one_hot=True), one_hot=True) == "fused"
    assert backend_of(random_cell("lstm", activation="relu")) == "fused"
    assert backend_of(random_cell("lstm", cell_activation="relu")) == "fused"
    assert backend_of(random_cell("lstm", recurrent_dropout=0.5).train()) == "fused"
    assert backend_of(random_cell("lstm", recurrent_dropout=0.5).eval()) == "kernel"
    assert backend_of(random_cell("lstm", weight_dropout=0.5).train()) == "kernel"


class StepOnlyCell(Cell):
    """A cell that implements `step` only."""

    gates = ("new",)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        new = torch.sin(projected + recurrent(state.hidden))
        return HiddenState(new), (new,)


def test_cell_with_only_a_step_uses_the_steps_backend() -> None:
    cell, plan = StepOnlyCell(input_size=D, hidden_size=H).double(), make_plan([3, 1])
    inputs, state, leaves = scan_inputs(cell, plan)
    assert backend_of(cell) == backend_of(cell, every_state=True) == "steps"
    ours, theirs = everything(scan(cell, inputs, state, plan)), everything(reference(cell, inputs, state, plan))
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


def test_innermost_forced_backend_applies_within_its_block() -> None:
    cell = random_cell("gru")
    with force_backend("kernel"):
        with force_backend("steps"):
            assert backend_of(cell) == "steps"
        assert backend_of(cell) == "kernel"
    assert backend_of(cell) == "fused"


def test_forced_backend_is_reset_after_an_error() -> None:
    with pytest.raises(KeyError), force_backend("steps"):
        raise KeyError
    assert backend_of(random_cell("gru")) == "fused"


def test_unknown_backend_error_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'pieces'.*kernel, fused, steps"), force_backend("pieces"):
        pass


@pytest.mark.parametrize(("lengths", "rows"), [([4, 2, 1], 7), ([9, 9, 8], 27)])
def test_much_padding_is_not_projected(lengths: list[int], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, plan, projected = random_cell("gru"), make_plan(lengths), []
    inputs, state, leaves = scan_inputs(cell, plan)
    expected = reference(cell, inputs, state, plan)
    project = cell.project
    monkeypatch.setattr(cell, "project", lambda given: projected.append(given.numel() // D) or project(given))
    found = scan(cell, inputs, state, plan)
    assert projected == [rows]
    assert_all_close(everything(found)[:2], everything(expected)[:2])
    assert_all_close(gradients(everything(found), leaves), gradients(everything(expected), leaves))


def test_projection_that_mixes_steps_gets_all_steps() -> None:
    class Differences(CELLS["gru"]):  # type: ignore[misc]
        def project(self, inputs: Tensor) -> Tensor:
            return super().project(inputs - torch.cat([torch.zeros_like(inputs[:1]), inputs[:-1]]))

    cell, plan = Differences(input_size=D, hidden_size=H).double(), make_plan([4, 2, 1])
    assert plan.has_much_padding
    inputs, state, _ = scan_inputs(cell, plan)
    assert_all_close(everything(scan(cell, inputs, state, plan)), everything(reference(cell, inputs, state, plan)))


def test_projection_of_a_subclass_is_used_by_the_fused_run() -> None:
    class Doubled(CELLS["lstm_peephole"]):  # type: ignore[misc]
        def project(self, inputs: Tensor) -> Tensor:
            return 2 * super().project(inputs)

    cell, plan = Doubled(input_size=D, hidden_size=H).double(), make_plan([3, 2])
    inputs, state, _ = scan_inputs(cell, plan)
    with force_backend("fused"):
        fused = everything(scan(cell, inputs, state, plan))
    assert_all_close(fused, everything(reference(cell, inputs, state, plan)))


@pytest.mark.parametrize("name", ["lstm", "lstm_peephole", "lstm_coupled", "rnn", "rnn_relu"])
def test_both_biases_are_added_at_once(name: str) -> None:
    """Their gradient is one sum over all steps instead of two."""
    cell = random_cell(name)
    inputs, recurrent = numbers(2, 3, D), cell.recurrence(3)
    projected, remaining = cell.project_fused(inputs, recurrent)
    assert remaining.bias is None
    assert_all_close([projected], [cell.project(inputs) + recurrent.bias])
