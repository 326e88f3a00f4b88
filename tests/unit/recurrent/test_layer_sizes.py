"""A stack whose layers differ in size equals single layers, one after the other."""

from collections.abc import Sequence

import pytest
import torch
from recurrent_checks import ALL_CELLS, D, assert_all_close, gradients, make_stack, numbers
from test_stepping import BATCH, INPUTS, KNOWN, STEPS, by_steps

from sluice.recurrent import CellOptions, RecurrentStack, StackState
from sluice.recurrent.scan import force_backend
from sluice.recurrent.states import join_states, split_state, state_of_tensors, state_tensors, top_hidden

SIZES = [5, 2, 4]
LENGTHS = torch.tensor([3, 6, 1, 4])
both_directions = pytest.mark.parametrize("bidirectional", [False, True])
every_cell = pytest.mark.parametrize("cell", ALL_CELLS)


def given_state(stack: RecurrentStack, batch_size: int) -> StackState:
    """An initial state of the stack that requires gradients."""
    shapes = [(stack.directions, batch_size, size) for size in stack.hidden_sizes for _ in stack.state_type._fields]
    tensors = [numbers(*shape, seed=70 + index).requires_grad_() for index, shape in enumerate(shapes)]
    return state_of_tensors(tensors, stack.state_type)


def single_layers(cell: str, stack: RecurrentStack) -> list[RecurrentStack]:
    """Stacks of one layer that use the parameters of each layer."""
    layers = []
    for first in range(0, len(stack.cells), stack.directions):
        cells = stack.cells[first : first + stack.directions]
        sizes = {"input_size": cells[0].input_size, "hidden_size": cells[0].hidden_size}
        layer = make_stack(cell, **sizes, bidirectional=stack.directions == 2)
        layer.cells = cells
        layers.append(layer)
    return layers


@every_cell
@both_directions
def test_equals_a_composition_of_layers(cell: str, bidirectional: bool) -> None:
    stack = make_stack(cell, hidden_size=SIZES, bidirectional=bidirectional)
    inputs = numbers(len(LENGTHS), 7, D).requires_grad_()
    state = given_state(stack, len(LENGTHS))
    outputs, final = stack(inputs, LENGTHS, state)
    assert outputs.shape == (len(LENGTHS), 7, stack.output_size)
    assert [tuple(layer.hidden.shape) for layer in final] == [(stack.directions, len(LENGTHS), size) for size in SIZES]

    expected, finals = inputs, []
    for layer, own in zip(single_layers(cell, stack), state, strict=True):
        expected, last = layer(expected, LENGTHS, own)
        finals.append(last)
    results, references = [outputs, *state_tensors(final)], [expected, *(part for last in finals for part in last)]
    leaves = [inputs, *state_tensors(state), *stack.parameters()]
    assert_all_close(results, references)
    assert_all_close(gradients(results, leaves), gradients(references, leaves))
    assert torch.equal(top_hidden(final, stack.directions), torch.cat(finals[-1].hidden.unbind(0), -1))


@every_cell
@both_directions
def test_fused_backend_equals_the_steps(cell: str, bidirectional: bool) -> None:
    stack = make_stack(cell, hidden_size=SIZES, bidirectional=bidirectional)
    inputs, state = numbers(len(LENGTHS), 6, D).requires_grad_(), given_state(stack, len(LENGTHS))
    leaves, found = [inputs, *state_tensors(state), *stack.parameters()], []
    for backend in ("fused", "steps"):
        with force_backend(backend):
            outputs, final = stack(inputs, LENGTHS, state)
        found.append([outputs, *state_tensors(final)])
    assert_all_close(*found)
    assert_all_close(*(gradients(results, leaves) for results in found))


@every_cell
def test_state_is_carried_over_chunks(cell: str) -> None:
    stack = make_stack(cell, hidden_size=SIZES, initial_state="learned")
    inputs = numbers(3, 7, D)
    whole, final = stack(inputs, torch.full((3,), 7))
    pieces, state = [], None
    for chunk in inputs.split(3, 1):
        outputs, state = stack(chunk, torch.full((3,), chunk.shape[1]), state)
        pieces.append(outputs)
    results, references = [torch.cat(pieces, 1), *state_tensors(state)], [whole, *state_tensors(final)]
    assert_all_close(results, references)
    assert_all_close(gradients(results, stack.parameters()), gradients(references, stack.parameters()))


@both_directions
def test_learned_state_has_parameters_per_layer(bidirectional: bool) -> None:
    stack = make_stack("lstm", hidden_size=SIZES, bidirectional=bidirectional, initial_state="learned")
    assert stack.initial_state is not None
    shapes = [(stack.directions, 1, size) for size in SIZES for _ in "hc"]
    assert [tuple(parameter.shape) for parameter in stack.initial_state] == shapes
    outputs, final = stack(numbers(3, 4, D), torch.tensor([4, 1, 2]))
    expanded = state_of_tensors([part.expand(-1, 3, -1) for part in stack.initial_state], stack.state_type)
    assert torch.equal(outputs, stack(numbers(3, 4, D), torch.tensor([4, 1, 2]), expanded).outputs)
    for gradient in gradients([outputs, *state_tensors(final)], stack.initial_state):
        assert (gradient != 0).any(-1).all()


@both_directions
def test_list_of_equal_sizes_is_one_size(bidirectional: bool) -> None:
    shared = {"bidirectional": bidirectional, "residual": True, "initial_state": "learned"}
    listed, plain = (make_stack("lstm", hidden_size=size, **shared, num_layers=2) for size in ([4, 4], 4))
    assert {name: part.shape for name, part in listed.state_dict().items()} == {
        name: part.shape for name, part in plain.state_dict().items()
    }
    found, expected = (stack(numbers(4, 6, D), LENGTHS) for stack in (listed, plain))
    assert type(found.state) is type(expected.state)
    assert_all_close([found.outputs, *found.state], [expected.outputs, *expected.state], 0)


@every_cell
@both_directions
def test_trace_has_the_size_of_each_layer(cell: str, bidirectional: bool) -> None:
    stack = make_stack(cell, hidden_size=SIZES, bidirectional=bidirectional)
    inputs, state = numbers(len(LENGTHS), 6, D), given_state(stack, len(LENGTHS))
    outputs, final, cells = stack.trace(inputs, LENGTHS, state)
    plain = stack(inputs, LENGTHS, state)
    assert_all_close([outputs, *state_tensors(final)], [plain.outputs, *state_tensors(plain.state)])
    for index, (own, traced) in enumerate(zip(split_state(final), cells, strict=True)):
        ends = torch.zeros_like(LENGTHS) if index % stack.directions else LENGTHS - 1
        for last, every in zip(own, traced.states, strict=True):
            assert_all_close([every[torch.arange(len(LENGTHS)), ends]], [last])
        assert all(gate.shape[-1] == own.hidden.shape[-1] for gate in traced.gates.values())


@every_cell
def test_steps_equal_one_pass(cell: str) -> None:
    stack = make_stack(cell, input_size=INPUTS, hidden_size=SIZES, initial_state="learned")
    inputs = numbers(BATCH, STEPS, INPUTS)
    outputs, state = stack(inputs, torch.full((BATCH,), STEPS))
    own_outputs, own_state = by_steps(stack, inputs, KNOWN)
    results, references = [own_outputs, *state_tensors(own_state)], [outputs, *state_tensors(state)]
    assert_all_close(results, references)
    assert_all_close(gradients(results, stack.parameters()), gradients(references, stack.parameters()))


def test_dropout_masks_fit_each_layer() -> None:
    """With one sequence and one step, a mask for all steps is an ordinary one."""
    options = CellOptions(recurrent_dropout=0.3, weight_dropout=0.3)
    shared = {"input_size": INPUTS, "hidden_size": SIZES, "dropout": 0.5, "options": options}
    variational, plain = (make_stack("lstm", **shared, variational=kind) for kind in (True, False))
    inputs, found = numbers(1, 1, INPUTS), []
    for stack in (variational, plain):
        torch.manual_seed(3)
        found.append(stack(inputs, torch.tensor([1])).outputs)
    assert torch.equal(*found)
    stepped, _ = by_steps(variational, numbers(BATCH, STEPS, INPUTS), KNOWN)
    assert stepped.shape == (BATCH, STEPS, SIZES[-1])


def test_states_are_split_and_joined() -> None:
    stack = make_stack("lstm", hidden_size=SIZES, bidirectional=True)
    state = given_state(stack, 3)
    cells = split_state(state)
    assert [tuple(cell.cell.shape) for cell in cells] == [(3, size) for size in SIZES for _ in range(2)]
    assert_all_close(state_tensors(join_states(cells, 2)), state_tensors(state), 0)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ([4, 3], {"num_layers": 3}, r"hidden_size=\[4, 3\] must have a size for each layer, got num_layers=3"),
        ([], {}, r"hidden_size=\[\] must have a size"),
        ([4, 0], {}, "sizes must be at least 1"),
        ([4, 3], {"residual": True}, r"residual=true needs layers of equal size, got hidden_size=\[4,3\]"),
        ([4], {"residual": True}, "residual=true needs num_layers of 2 or more"),
    ],
)
def test_invalid_sizes_are_refused(sizes: Sequence[int], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_stack("gru", hidden_size=sizes, **options)


@pytest.mark.parametrize("other", [[5, 2], [5, 2, 3], 4, [5, 2, 4, 4]])
def test_state_of_another_stack_is_refused(other: list[int] | int) -> None:
    stack, layers = make_stack("gru", hidden_size=SIZES), 3 if isinstance(other, int) else None
    state: StackState = make_stack("gru", hidden_size=other, num_layers=layers).make_initial_state(4)
    with pytest.raises(ValueError, match=r"the state has cells of the sizes .* and the stack of the sizes \[5, 2, 4\]"):
        stack(numbers(4, 6, D), LENGTHS, state)
