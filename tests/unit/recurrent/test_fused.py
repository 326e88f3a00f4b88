"""The fused scans, each tested with the C kernels and with torch operations."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recurrent_checks import (
    ALL_CELLS,
    D,
    H,
    assert_all_close,
    assert_fused_equals_steps,
    everything,
    gradients,
    make_plan,
    make_stack,
    numbers,
    one_hot_batch,
    own_parameters,
    random_cell,
    random_state,
    raw_lengths,
    scan_inputs,
    unroll,
)
from torch import Tensor

from sluice.recurrent import CellOptions, OneHot, RecurrentStack, State
from sluice.recurrent.activations import ACTIVATIONS
from sluice.recurrent.fused.native import kernels
from sluice.recurrent.fused.run import FusedRun
from sluice.recurrent.scan import ScanOutput, choose_backend, force_backend, scan_fused, scan_steps

every_cell = pytest.mark.parametrize("name", ALL_CELLS)
pytestmark = pytest.mark.usefixtures("elementwise")


@pytest.fixture(params=["c", "torch"], scope="module")
def elementwise(request: pytest.FixtureRequest) -> Iterator[str]:
    """The implementation of the time loop: C kernels or torch operations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_NATIVE", "1" if request.param == "c" else "0")
        if request.param == "c" and kernels(torch.zeros(1)) is None:
            pytest.skip("this machine has no C compiler, or it can't build kernels.c")
        yield request.param


@every_cell
def test_each_implementation_is_really_used(name: str, elementwise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, plan = random_cell(name), make_plan([3, 1])
    projected, state, leaves = scan_inputs(cell, plan)
    assert (kernels(projected) is None) == (elementwise == "torch")
    if elementwise == "c":
        monkeypatch.delattr(cell.fused, "torch_forward")
        monkeypatch.delattr(cell.fused, "torch_backward")
    else:
        monkeypatch.delattr(FusedRun, "run_native")
    gradients(everything(scan_fused(cell, projected, state, plan, cell.recurrence(2))), leaves)


@every_cell
@pytest.mark.parametrize("lengths", [[1], [2, 2], [3, 1, 2]], ids=str)
def test_backward_passes_gradcheck(name: str, lengths: list[int]) -> None:
    cell, plan = random_cell(name, hidden_size=2), make_plan(sorted(lengths), surplus=len(lengths) - 1)
    _, _, leaves = scan_inputs(cell, plan)
    fields = len(cell.state_type._fields)

    def run(projected: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        # the parameters among the rest are the cell's own: gradcheck perturbs them in place
        state = cell.state_type(*rest[:fields])
        return tuple(everything(scan_fused(cell, projected, state, plan, cell.recurrence(plan.batch_size))))

    assert torch.autograd.gradcheck(run, leaves)


@every_cell
@settings(deadline=None, max_examples=15, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
@example(lengths=[1, 1, 1], surplus=0)
@example(lengths=[1, 1], surplus=2)
@example(lengths=[4, 4, 4], surplus=1)
@example(lengths=[5, 2, 5, 2, 2], surplus=0)
def test_padded_batch_equals_single_sequences(name: str, lengths: list[int], surplus: int) -> None:
    cell, plan = random_cell(name), make_plan(lengths, surplus)
    projected, state, leaves = scan_inputs(cell, plan)
    recurrent = cell.recurrence(plan.batch_size)
    ours = everything(scan_fused(cell, projected, state, plan, recurrent))
    theirs = everything(unroll(cell, projected, state, plan, recurrent))
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


@every_cell
def test_states_are_zero_beyond_each_length(name: str) -> None:
    cell, plan = random_cell(name), make_plan([4, 2, 2, 1], surplus=2)
    projected, state, _ = scan_inputs(cell, plan)
    scanned = scan_fused(cell, projected, state, plan, cell.recurrence(4))
    for tensor in (scanned.outputs, *scanned.states):
        assert (tensor[~plan.mask()] == 0).all()
        assert (tensor[plan.mask()] != 0).any()


@every_cell
@pytest.mark.parametrize("border", [1, 2, 3, 4])
def test_two_chunks_with_carried_state_equal_one_run(name: str, border: int) -> None:
    cell, batch_size = random_cell(name), 3
    projected, state, leaves = scan_inputs(cell, make_plan([5] * batch_size))
    recurrent = cell.recurrence(batch_size)

    def run(part: Tensor, state: State) -> ScanOutput:
        return scan_fused(cell, part, state, make_plan([len(part)] * batch_size), recurrent)

    whole, first = run(projected, state), run(projected[:border], state)
    second = run(projected[border:], first.final)
    joined = [torch.cat(parts) for parts in zip(first.states, second.states, strict=True)]
    ours, theirs = [joined[0], *second.final, *joined], everything(whole)
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))


def run_stack(stack: RecurrentStack, inputs: Tensor | OneHot, lengths: Sequence[int], backend: str) -> list[Tensor]:
    """Outputs and final state, then the gradients of the initial state, the parameters and, if required, the input."""
    dtype = next(stack.parameters()).dtype
    state = random_state(stack, len(lengths), dtype)
    with force_backend(backend):
        outputs, final = stack(inputs, torch.tensor(lengths), state)
    leaves = [*state, *stack.parameters()]
    if isinstance(inputs, Tensor) and inputs.requires_grad:
        leaves.append(inputs)
    results = [outputs, *final]
    return [tensor.detach() for tensor in results] + gradients(results, leaves)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
@settings(deadline=None, max_examples=5, derandomize=True)
@given(lengths=raw_lengths, surplus=st.integers(0, 2))
@example(lengths=[2, 4, 1, 4], surplus=1)
@example(lengths=[3, 3], surplus=0)
def test_stacks_equal_the_steps_backend(name: str, bidirectional: bool, lengths: list[int], surplus: int) -> None:
    stack = make_stack(name, num_layers=2, bidirectional=bidirectional)
    inputs = numbers(len(lengths), max(lengths) + surplus, D).requires_grad_()
    fused, steps = [run_stack(stack, inputs, lengths, backend) for backend in ("fused", "steps")]
    assert_all_close(fused, steps)


@every_cell
@pytest.mark.parametrize("scaled", [False, True])
def test_one_hot_stacks_equal_the_steps_backend(name: str, scaled: bool) -> None:
    stack = make_stack(name, input_size=7, one_hot=True, bidirectional=True)
    batch = one_hot_batch(3, 5, 7, scaled=scaled)
    fused, steps = [run_stack(stack, batch, [4, 1, 4], backend) for backend in ("fused", "steps")]
    assert_all_close(fused, steps)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_float32_is_close_to_float64(name: str, bidirectional: bool) -> None:
    lengths, inputs = [3, 6, 1, 6], numbers(4, 6, D)
    results = [
        run_stack(make_stack(name, bidirectional=bidirectional, dtype=dtype), inputs.to(dtype), lengths, backend)
        for dtype, backend in ((torch.float32, "fused"), (torch.float64, "steps"))
    ]
    assert all(tensor.dtype == torch.float32 for tensor in results[0])
    assert_all_close((tensor.double() for tensor in results[0]), results[1], tolerance=2e-5)


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_bfloat16_is_close_to_the_steps_backend(name: str, bidirectional: bool) -> None:
    stack, lengths = make_stack(name, bidirectional=bidirectional, dtype=torch.bfloat16), [3, 6, 1, 6]
    inputs = numbers(4, 6, D, dtype=torch.bfloat16)
    fused, steps = [run_stack(stack, inputs, lengths, backend) for backend in ("fused", "steps")]
    exact = run_stack(make_stack(name, bidirectional=bidirectional), inputs.double(), lengths, "steps")
    for own, other, true in zip(fused, steps, exact, strict=True):
        assert own.dtype == other.dtype == torch.bfloat16
        assert (own.double() - other.double()).norm() <= 0.05 * true.norm()
        assert (own.double() - true).norm() <= 0.05 * true.norm()


@every_cell
@pytest.mark.parametrize("lengths", [[3, 3], [4, 2, 1]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_consuming_pre_activations_does_not_change_results(name: str, lengths: list[int], dtype: torch.dtype) -> None:
    cell, plan = random_cell(name, dtype=dtype), make_plan(lengths, surplus=1)
    _, state, _ = scan_inputs(cell, plan)
    inputs = numbers(plan.steps, plan.batch_size, D, dtype=dtype).requires_grad_()
    leaves, recurrent = [inputs, *state, *cell.parameters()], cell.recurrence(plan.batch_size)
    kept, consumed = [
        everything(scan_fused(cell, cell.project(inputs), state, plan, recurrent, consume=consume))
        for consume in (False, True)
    ]
    assert_all_close(consumed, kept, tolerance=0)
    assert_all_close(gradients(consumed, leaves), gradients(kept, leaves), tolerance=0)


@every_cell
def test_pre_activations_beyond_a_length_are_not_read(name: str) -> None:
    cell, plan = random_cell(name), make_plan([4, 2, 1], surplus=1)
    clean, state, (_, *leaves) = scan_inputs(cell, plan)
    dirty = clean.detach().masked_fill(~plan.mask().unsqueeze(-1), float("nan")).requires_grad_()
    for consume in (False, True):
        of = [(given.clone(), given) for given in (dirty, clean)]
        results = [
            everything(scan_fused(cell, copy, state, plan, cell.recurrence(3), consume=consume)) for copy, _ in of
        ]
        assert_all_close(*results)
        assert_all_close(*(gradients(result, [given, *leaves]) for result, (_, given) in zip(results, of, strict=True)))


@every_cell
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_is_not_read(name: str, bidirectional: bool) -> None:
    stack, lengths = make_stack(name, num_layers=2, bidirectional=bidirectional), [3, 1, 5, 3]
    padding = torch.arange(7) >= torch.tensor(lengths).unsqueeze(1)
    clean = numbers(4, 7, D)
    dirty = clean.masked_fill(padding.unsqueeze(-1), float("nan"))
    results = [run_stack(stack, inputs.requires_grad_(), lengths, "fused") for inputs in (dirty, clean)]
    assert_all_close(*results)
    assert (results[0][-1][padding] == 0).all()


dropouts = pytest.mark.parametrize(
    "dropout",
    [{"recurrent_dropout": 0.5}, {"weight_dropout": 0.4}, {"recurrent_dropout": 0.3, "weight_dropout": 0.3}],
    ids=str,
)


@every_cell
@dropouts
def test_recurrent_dropout_equals_the_steps_backend(name: str, dropout: dict[str, float]) -> None:
    cell, plan = random_cell(name, **dropout).train(), make_plan([4, 4, 2, 1], surplus=1)
    for seed in range(3):
        assert_fused_equals_steps(cell, plan, seed=seed)


@every_cell
@dropouts
def test_recurrent_dropout_acts_in_training_only(name: str, dropout: dict[str, float]) -> None:
    cell, plain, plan = random_cell(name, **dropout), random_cell(name), make_plan([4, 4, 2, 1])
    projected, state, _ = scan_inputs(cell, plan)
    torch.manual_seed(0)
    expected = scan_fused(plain, projected, state, plan, plain.recurrence(4)).outputs
    trained, evaluated = [
        scan_fused(cell, projected, state, plan, cell.train(training).recurrence(4)).outputs
        for training in (True, False)
    ]
    assert_all_close([evaluated], [expected], tolerance=0)
    assert (trained != expected).any(-1).any()


def activation_cases() -> Iterator[tuple[str, dict[str, str]]]:
    for activation in ACTIVATIONS:
        for name in ("rnn", "gru", "gru_reset_before", "lstm"):
            yield name, {"activation": activation}
        yield "lstm", {"cell_activation": activation}
    for name in ("lstm", "lstm_coupled", "lstm_peephole", "lstm_layernorm"):
        yield name, {"activation": "softsign", "cell_activation": "elu"}
        yield name, {"activation": "identity", "cell_activation": "softplus"}
    yield "rnn_layernorm", {"activation": "elu"}
    yield "rnn_relu", {"activation": "sigmoid"}


def sloped(chosen: dict[str, str]) -> bool:
    return all(ACTIVATIONS[activation].slope is not None for activation in chosen.values())


@pytest.mark.parametrize(("name", "chosen"), [case for case in activation_cases() if sloped(case[1])], ids=str)
def test_chosen_activations_are_fused_and_equal_the_steps(name: str, chosen: dict[str, str], elementwise: str) -> None:
    cell, plan = random_cell(name, **chosen), make_plan([4, 4, 2, 1], surplus=1)
    assert choose_backend(cell, numbers(5, 4, D), cell.recurrence(4), every_state=True) == "fused"
    assert_fused_equals_steps(cell, plan)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "chosen"), [case for case in activation_cases() if sloped(case[1])], ids=str)
def test_chosen_activations_are_accurate_in_low_precision(
    name: str, chosen: dict[str, str], dtype: torch.dtype
) -> None:
    cell, plan = random_cell(name, dtype=dtype, **chosen), make_plan([3, 2])
    projected, state, leaves = scan_inputs(cell, plan)
    fused, steps = [
        everything(backend(cell, projected, state, plan, cell.recurrence(2))) for backend in (scan_fused, scan_steps)
    ]
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    fused, steps = fused + gradients(fused, leaves), steps + gradients(steps, leaves)
    for own, other in zip(fused, steps, strict=True):
        assert own.dtype == dtype
        assert (own.double() - other.double()).norm() <= tolerance * max(1, other.double().norm())


@pytest.mark.parametrize(("name", "chosen"), [case for case in activation_cases() if not sloped(case[1])], ids=str)
def test_activation_without_slope_uses_the_steps_backend(name: str, chosen: dict[str, str]) -> None:
    cell = random_cell(name, **chosen)
    assert choose_backend(cell, numbers(5, 4, D), cell.recurrence(4), every_state=False) == "steps"
    stack = make_stack(name, options=CellOptions(**chosen))  # type: ignore[arg-type]
    outputs, final = stack(numbers(2, 3, D), torch.tensor([3, 1]))
    assert all(gradient.isfinite().all() for gradient in gradients([outputs, *final], stack.parameters()))


@pytest.mark.parametrize("name", ["rnn", "gru", "gru_reset_before", "lstm"])
@pytest.mark.parametrize("activation", [name for name, own in ACTIVATIONS.items() if own.slope is not None])
def test_activations_are_exact_for_large_float32_inputs(name: str, activation: str) -> None:
    cells = [random_cell(name, dtype=dtype, activation=activation) for dtype in (torch.float32, torch.float64)]
    plan, width = make_plan([1] * 81), len(cells[0].gates)
    spread = torch.linspace(-100, 100, 81).reshape(1, 81, 1).repeat(1, 1, width * H)
    results = []
    for cell, backend in zip(cells, (scan_fused, scan_steps), strict=True):
        torch.nn.init.zeros_(cell.weight_hh)
        dtype = cell.weight_hh.dtype
        projected = spread.to(dtype).requires_grad_()
        state = cell.state_type(*(torch.zeros(81, H, dtype=dtype) for _ in cell.state_type._fields))
        outputs = backend(cell, projected, state, plan, cell.recurrence(81)).outputs
        results.append([outputs.double(), *(found.double() for found in gradients([outputs], [projected]))])
    assert_all_close(*results, tolerance=5e-6)


@every_cell
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_hidden_size_may_exceed_a_block_of_the_c_kernels(name: str, dtype: torch.dtype) -> None:
    cell = random_cell(name, dtype=dtype, hidden_size=300, recurrent_init="xavier")
    torch.nn.init.normal_(cell.weight_hh, std=0.05)
    assert_fused_equals_steps(cell, make_plan([3, 1]), tolerance=1e-10 if dtype == torch.float64 else 5e-4)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_large_packed_weight_equals_the_steps_backend(name: str) -> None:
    cell = random_cell(name, dtype=torch.float32, hidden_size=600, recurrent_init="xavier")
    torch.nn.init.normal_(cell.weight_hh, std=0.03)
    assert_fused_equals_steps(cell, make_plan([17, 3]), tolerance=2e-3)


@every_cell
@pytest.mark.parametrize("recorded", [True, False])
def test_modifying_an_output_in_place_raises_in_backward(name: str, recorded: bool) -> None:
    cell, plan = random_cell(name), make_plan([3, 1])
    for index in range(len(cell.state_type._fields)):
        projected, state, _ = scan_inputs(cell, plan)
        scanned = scan_fused(cell, projected, state, plan, cell.recurrence(2))
        loss = (scanned.states[index] * 2).sum()
        with pytest.raises(RuntimeError, match=r"modified (by an )?in-?place"):  # noqa: PT012
            with torch.set_grad_enabled(recorded):
                scanned.states[index].mul_(2)
            loss.backward()


@every_cell
def test_modifying_consumed_pre_activations_raises_in_backward(name: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1])
    projected, state, _ = scan_inputs(cell, plan)
    copy = projected * 1
    scanned = scan_fused(cell, copy, state, plan, cell.recurrence(2), consume=True)
    with torch.no_grad():
        copy.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        scanned.outputs.sum().backward()


@every_cell
@pytest.mark.parametrize("parameter", ["weight_hh", "own"])
def test_modifying_a_weight_in_place_raises_in_backward(name: str, parameter: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 1])
    projected, state, _ = scan_inputs(cell, plan)
    scanned = scan_fused(cell, projected, state, plan, cell.recurrence(2))
    with torch.no_grad():
        (cell.weight_hh if parameter == "weight_hh" else own_parameters(cell)[-1]).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        scanned.outputs.sum().backward()


@every_cell
def test_final_state_may_be_modified_in_place(name: str) -> None:
    cell, plan = random_cell(name), make_plan([3, 3])
    projected, state, leaves = scan_inputs(cell, plan)
    one, other = [scan_fused(cell, projected, state, plan, cell.recurrence(2)).final for _ in range(2)]
    other = cell.state_type(*(tensor.mul_(2) for tensor in other))
    assert_all_close(gradients(other, leaves), gradients([tensor * 2 for tensor in one], leaves))


@every_cell
def test_autocast_does_not_change_the_precision_of_the_scan(name: str) -> None:
    cell, plan = random_cell(name, dtype=torch.float32), make_plan([3, 1])
    projected, state, leaves = scan_inputs(cell, plan)
    expected = everything(scan_fused(cell, projected, state, plan, cell.recurrence(2)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = everything(scan_fused(cell, projected, state, plan, cell.recurrence(2)))
    assert_all_close(results, expected, tolerance=0)
    assert_all_close(gradients(results, leaves), gradients(expected, leaves), tolerance=0)
