"""Traces of states and gates at every step, and residual connections."""

from collections.abc import Callable

import pytest
import torch
from recurrent_checks import (
    ALL_CELLS,
    D,
    H,
    assert_all_close,
    gradients,
    make_stack,
    numbers,
    one_hot_batch,
    random_state,
)
from torch import Tensor

from sluice.recurrent import CELLS, Cell, CellOptions, CellTrace, OneHot, RecurrentStack, StackTrace, State
from sluice.recurrent.scan import force_backend

LENGTHS, STEPS = [3, 5, 1, 3], 6
every_cell = pytest.mark.parametrize("name", ALL_CELLS)
both_directions = pytest.mark.parametrize("bidirectional", [False, True])


def lengths_of(lengths: list[int] = LENGTHS) -> Tensor:
    return torch.tensor(lengths)


def outside() -> Tensor:
    """(B, T), True beyond each length."""
    return torch.arange(STEPS) >= lengths_of().unsqueeze(1)


def batch(*, one_hot: bool = False) -> Tensor | OneHot:
    return one_hot_batch(len(LENGTHS), STEPS, D, scaled=True) if one_hot else numbers(len(LENGTHS), STEPS, D)


def all_tensors(trace: StackTrace) -> list[Tensor]:
    """All tensors of a trace."""
    inner = [tensor for cell in trace.cells for tensor in (*cell.states, *cell.gates.values())]
    return [trace.outputs, *trace.state, *inner]


@every_cell
@both_directions
@pytest.mark.parametrize("one_hot", [False, True])
def test_trace_equals_forward(name: str, bidirectional: bool, one_hot: bool) -> None:
    stack = make_stack(name, num_layers=2, bidirectional=bidirectional, one_hot=one_hot, residual=True)
    inputs, state = batch(one_hot=one_hot), random_state(stack, len(LENGTHS))
    for given in (None, state):
        traced, plain = stack.trace(inputs, lengths_of(), given), stack(inputs, lengths_of(), given)
        ours, theirs = [[run.outputs, *run.state] for run in (traced, plain)]
        assert type(traced.state) is stack.state_type
        assert_all_close(ours, theirs)
        assert_all_close(gradients(ours, stack.parameters()), gradients(theirs, stack.parameters()))


@every_cell
@both_directions
def test_trace_has_the_gates_of_every_layer_and_direction(name: str, bidirectional: bool) -> None:
    stack = make_stack(name, num_layers=2, bidirectional=bidirectional)
    trace = stack.trace(batch(), lengths_of())
    assert len(trace.cells) == len(stack.cells) == 2 * (1 + bidirectional)
    for cell in trace.cells:
        assert tuple(cell.gates) == CELLS[name].gates
        assert type(cell.states) is CELLS[name].state_type
        assert all(tensor.shape == (4, STEPS, H) for tensor in (*cell.states, *cell.gates.values()))


@every_cell
@both_directions
def test_trace_is_zero_beyond_each_length(name: str, bidirectional: bool) -> None:
    trace = make_stack(name, num_layers=2, bidirectional=bidirectional).trace(batch(), lengths_of())
    for cell in trace.cells:
        assert all((tensor[outside()] == 0).all() for tensor in (*cell.states, *cell.gates.values()))


@every_cell
@both_directions
def test_padding_is_not_read(name: str, bidirectional: bool) -> None:
    stack, clean = make_stack(name, num_layers=2, bidirectional=bidirectional), batch()
    assert isinstance(clean, Tensor)
    dirty = clean.masked_fill(outside().unsqueeze(-1), float("nan"))
    ours, theirs = [all_tensors(stack.trace(inputs, lengths_of())) for inputs in (dirty, clean)]
    assert_all_close(ours, theirs)
    assert_all_close(gradients(ours, stack.parameters()), gradients(theirs, stack.parameters()))


@every_cell
@pytest.mark.parametrize("num_layers", [1, 2])
def test_forward_states_equal_final_states_of_prefixes(name: str, num_layers: int) -> None:
    stack, inputs = make_stack(name, num_layers=num_layers), batch()
    state = random_state(stack, len(LENGTHS))
    trace = stack.trace(inputs, lengths_of(), state)
    for step in range(max(LENGTHS)):
        there = [row for row, length in enumerate(LENGTHS) if length > step]
        before = stack.state_type(*(tensor[:, there] for tensor in state))
        final = stack(inputs[there, : step + 1], torch.full((len(there),), step + 1), before).state
        for layer, cell in enumerate(trace.cells):
            assert_all_close([tensor[there, step] for tensor in cell.states], [tensor[layer] for tensor in final])


@every_cell
def test_backward_states_equal_final_states_of_suffixes(name: str) -> None:
    stack, inputs = make_stack(name, bidirectional=True), batch()
    state = random_state(stack, len(LENGTHS))
    trace = stack.trace(inputs, lengths_of(), state)
    for row, length in enumerate(LENGTHS):
        before = stack.state_type(*(tensor[:, row : row + 1] for tensor in state))
        for step in range(length):
            final = stack(inputs[row : row + 1, step:length], lengths_of([length - step]), before).state
            assert_all_close(
                [tensor[row, step] for tensor in trace.cells[1].states], [tensor[1, 0] for tensor in final]
            )


def sigma(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def normed(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean()
    return gain * centred / torch.sqrt((centred**2).mean() + 1e-5) + bias


def gate_by_hand(cell: Cell, gate: str, x: Tensor, before: State, after: State, reset: Tensor | None) -> Tensor:
    """The value of one gate at one step of one sequence, computed from the parameters.

    Args:
        cell: a cell with its own activations.
        gate: its name.
        x: (D,), or a (V,) row of a one-hot batch for a cell with transposed input weights.
        before, after: the states before and after the step, tensors (H,).
        reset: the value of a GRU's reset gate.
    """
    own = slice(cell.gates.index(gate) * H, (cell.gates.index(gate) + 1) * H)
    weight_ih = cell.weight_ih.T if cell.one_hot else cell.weight_ih
    from_input, from_hidden = weight_ih @ x, cell.weight_hh @ before.hidden
    name = next(name for name, kind in CELLS.items() if kind is type(cell))
    if name == "rnn_layernorm":
        return torch.tanh(normed(from_input + from_hidden, cell.gain, cell.bias))
    if name == "lstm_layernorm":
        from_input = normed(from_input, cell.gain_ih, cell.bias_ih)[own]
        from_hidden = normed(from_hidden, cell.gain_hh, cell.bias_hh)[own]
    else:
        from_input, from_hidden = (from_input + cell.bias_ih)[own], (from_hidden + cell.bias_hh)[own]
    if name == "gru" and gate == "new":
        from_hidden = reset * from_hidden
    if name == "gru_reset_before" and gate == "new":
        from_hidden = cell.weight_hh[own] @ (reset * before.hidden) + cell.bias_hh[own]
    total = from_input + from_hidden
    if name == "lstm_peephole" and gate != "candidate":
        row = ("input", "forget", "output").index(gate)
        total = total + cell.peephole[row] * (after if gate == "output" else before).cell
    if name == "rnn_relu":
        return total.clamp(min=0)
    return torch.tanh(total) if gate in ("new", "candidate") else sigma(total)


def inputs_of_layers(stack: RecurrentStack, inputs: Tensor, trace: StackTrace) -> list[Tensor]:
    """The inputs of each layer: the batch, then the hidden states of both directions below."""
    below = [torch.cat([cell.states.hidden for cell in trace.cells[: stack.directions]], -1)]
    return [inputs, *below][: stack.num_layers]


@every_cell
@both_directions
@pytest.mark.parametrize("one_hot", [False, True])
def test_gates_match_the_equations(name: str, bidirectional: bool, one_hot: bool) -> None:
    stack = make_stack(name, num_layers=2, bidirectional=bidirectional, one_hot=one_hot)
    inputs, initial = batch(one_hot=one_hot), random_state(stack, len(LENGTHS))
    trace = stack.trace(inputs, lengths_of(), initial)
    dense = inputs.materialise().double() if isinstance(inputs, OneHot) else inputs
    read = inputs_of_layers(stack, dense, trace)
    for index, (cell, own) in enumerate(zip(stack.cells, trace.cells, strict=True)):
        backward = index % stack.directions == 1
        for row, length in enumerate(LENGTHS):
            before = stack.state_type(*(tensor[index, row] for tensor in initial))
            for step in reversed(range(length)) if backward else range(length):
                after = stack.state_type(*(tensor[row, step] for tensor in own.states))
                x = read[index // stack.directions][row, step]
                found = {gate: values[row, step] for gate, values in own.gates.items()}
                expected = [gate_by_hand(cell, gate, x, before, after, found.get("reset")) for gate in found]
                assert_all_close(found.values(), expected)
                before = after


def gru_from_gates(before: State, gates: dict[str, Tensor]) -> list[Tensor]:
    return [(1 - gates["update"]) * gates["new"] + gates["update"] * before.hidden]


def lstm_from_gates(before: State, gates: dict[str, Tensor]) -> list[Tensor]:
    cell = gates["forget"] * before.cell + gates["input"] * gates["candidate"]
    return [gates["output"] * torch.tanh(cell), cell]


def coupled_from_gates(before: State, gates: dict[str, Tensor]) -> list[Tensor]:
    cell = gates["forget"] * before.cell + (1 - gates["forget"]) * gates["candidate"]
    return [gates["output"] * torch.tanh(cell), cell]


FROM_GATES: dict[str, Callable[[State, dict[str, Tensor]], list[Tensor]]] = {
    "gru": gru_from_gates,
    "gru_reset_before": gru_from_gates,
    "lstm": lstm_from_gates,
    "lstm_peephole": lstm_from_gates,
    "lstm_coupled": coupled_from_gates,
    "rnn": lambda before, gates: [gates["new"]],
    "rnn_layernorm": lambda before, gates: [gates["new"]],
}
"""Computes the state after every step from the previous state and the gates."""


@pytest.mark.parametrize("name", FROM_GATES)
def test_gates_and_states_use_the_same_dropout(name: str) -> None:
    options = CellOptions(recurrent_dropout=0.4, weight_dropout=0.3)
    stack = make_stack(name, num_layers=2, dropout=0.5, options=options).train()
    initial = random_state(stack, len(LENGTHS))
    trace = stack.trace(batch(), lengths_of(), initial)
    inside = ~outside().unsqueeze(-1)
    for index, cell in enumerate(trace.cells):
        before = [
            torch.cat([first[index].unsqueeze(1), every[:, :-1]], 1)
            for first, every in zip(initial, cell.states, strict=True)
        ]
        made = FROM_GATES[name](stack.state_type(*before), cell.gates)
        assert_all_close([tensor * inside for tensor in made], cell.states)


@every_cell
@both_directions
@pytest.mark.parametrize("part", ["states", "gates"])
def test_gradients_flow_through_the_trace(name: str, bidirectional: bool, part: str) -> None:
    stack = make_stack(name, num_layers=2, bidirectional=bidirectional)
    inputs, state = batch(), random_state(stack, len(LENGTHS))
    assert isinstance(inputs, Tensor)
    leaves = [inputs.requires_grad_(), *state, *stack.parameters()]

    def pick(cell: CellTrace) -> list[Tensor]:
        return [cell.states[-1]] if part == "states" else list(cell.gates.values())

    found = []
    for backend in ("fused", "steps"):
        with force_backend(backend):
            cells = stack.trace(inputs, lengths_of(), state).cells
            found.append(gradients([tensor for cell in cells for tensor in pick(cell)], leaves))
    assert_all_close(*found)
    assert all((gradient != 0).any() for gradient in found[0])


@every_cell
def test_residual_stack_equals_manually_joined_layers(name: str) -> None:
    for bidirectional in (False, True):
        options = {"bidirectional": bidirectional}
        whole = make_stack(name, num_layers=2, residual=True, **options)
        below = make_stack(name, **options)
        above = make_stack(name, input_size=whole.output_size, **options)
        for part, first in ((below, 0), (above, whole.directions)):
            for index, cell in enumerate(part.cells):
                cell.load_state_dict(whole.cells[first + index].state_dict())
        inputs = batch()
        assert isinstance(inputs, Tensor)
        inputs.requires_grad_()
        together = whole(inputs, lengths_of())
        first = below(inputs, lengths_of())
        second = above(first.outputs, lengths_of())
        final = [torch.cat(parts) for parts in zip(first.state, second.state, strict=True)]
        ours, theirs = [together.outputs, *together.state], [second.outputs + first.outputs, *final]
        assert_all_close(ours, theirs)
        assert (together.outputs[outside()] == 0).all()
        leaves = [parameter for part in (below, above) for parameter in part.parameters()]
        assert_all_close(gradients(ours, [inputs, *whole.parameters()]), gradients(theirs, [inputs, *leaves]))


@every_cell
def test_residuals_accumulate_over_three_layers(name: str) -> None:
    stack = make_stack(name, num_layers=3, residual=True)
    trace = stack.trace(batch(), lengths_of())
    assert_all_close([trace.outputs], [sum(cell.states.hidden for cell in trace.cells)])


def test_dropout_does_not_apply_to_the_residual() -> None:
    stack = make_stack("gru", num_layers=2, residual=True, dropout=0.7).train()
    trace = stack.trace(batch(), lengths_of())
    assert_all_close([trace.outputs], [sum(cell.states.hidden for cell in trace.cells)])


def test_residual_connections_need_two_layers() -> None:
    with pytest.raises(ValueError, match=r"residual.*num_layers of 2 or more"):
        make_stack("gru", residual=True)
