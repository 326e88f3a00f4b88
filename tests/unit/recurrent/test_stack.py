"""A stack equals torch's layers on packed sequences."""

import re
from typing import NamedTuple

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recurrent_checks import (
    ALL_CELLS,
    TORCH_CELLS,
    D,
    H,
    assert_all_close,
    gradients,
    make_stack,
    numbers,
    random_state,
    randomise,
    raw_lengths,
)
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sluice.recurrent import CELLS, OneHot, RecurrentStack, State

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
both_directions = pytest.mark.parametrize("bidirectional", [False, True])
every_cell = pytest.mark.parametrize("cell", ALL_CELLS)


class Case(NamedTuple):
    lengths: list[int]
    surplus: int = 0
    """Padded steps beyond the longest sequence."""
    num_layers: int = 1
    bidirectional: bool = False
    initial: str = "zeros"
    from_torch: bool = False
    dtype: torch.dtype = torch.float64


cases = st.builds(
    Case,
    lengths=raw_lengths,
    surplus=st.integers(0, 2),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    initial=st.sampled_from(["zeros", "given", "learned"]),
    from_torch=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float64, torch.float32]),
)


def torch_layers(cell: str, case: Case) -> nn.RNNBase:
    size = {"num_layers": case.num_layers, "bidirectional": case.bidirectional, "batch_first": True}
    if cell in ("rnn", "rnn_relu"):
        layers: nn.RNNBase = nn.RNN(D, H, nonlinearity="relu" if cell == "rnn_relu" else "tanh", **size)
    else:
        layers = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](D, H, **size)
    randomise(layers, seed=3)
    return layers.to(case.dtype)


def paired_weights(stack: RecurrentStack, layers: nn.RNNBase) -> tuple[list[Tensor], list[Tensor]]:
    """The corresponding weights of the stack and of torch's layers, in the same order."""
    directions = ("", "_reverse")[: stack.directions]
    ends = [f"_l{layer}{end}" for layer in range(stack.num_layers) for end in directions]
    ours = [getattr(cell, name) for cell in stack.cells for name in PARAMETERS]
    theirs = [getattr(layers, name + end) for end in ends for name in PARAMETERS]
    return ours, theirs


@torch.no_grad()
def copy_weights(ours: list[Tensor], theirs: list[Tensor], from_torch: bool) -> None:
    for own, other in zip(ours, theirs, strict=True):
        source, target = (other, own) if from_torch else (own, other)
        target.copy_(source)


def run_packed(
    layers: nn.RNNBase, features: Tensor, lengths: Tensor, state: tuple[Tensor, ...] | None
) -> tuple[Tensor, ...]:
    """The reference: outputs, final h and, for an LSTM, final c."""
    packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
    initial = state[0] if state is not None and len(state) == 1 else state
    outputs, final = layers(packed, initial)
    padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=features.shape[1])
    return (padded, *final) if isinstance(final, tuple) else (padded, final)


def initial_leaves(stack: RecurrentStack, case: Case) -> tuple[State | None, list[Tensor]]:
    """The initial state to pass, and the leaf tensors that its gradients belong to."""
    if case.initial == "given":
        state = random_state(stack, len(case.lengths), case.dtype)
        return state, list(state)
    return None, list(stack.initial_state or [])


@pytest.mark.parametrize("cell", TORCH_CELLS)
@settings(deadline=None, max_examples=60, derandomize=True)
@given(case=cases)
@example(case=Case([3, 1, 3, 2], surplus=1, num_layers=2, bidirectional=True, initial="given"))
@example(case=Case([1, 1, 1], surplus=2, num_layers=2, bidirectional=True, initial="learned"))
@example(case=Case([4, 4], num_layers=3, bidirectional=True, initial="given", from_torch=True))
@example(case=Case([2, 5, 1, 5], num_layers=3, initial="learned", dtype=torch.float32))
def test_equals_torch_on_packed_sequences(cell: str, case: Case) -> None:
    options = {"num_layers": case.num_layers, "bidirectional": case.bidirectional, "dtype": case.dtype}
    stack = make_stack(cell, **options, initial_state="learned" if case.initial == "learned" else "zeros")
    layers = torch_layers(cell, case)
    ours, theirs = paired_weights(stack, layers)
    copy_weights(ours, theirs, case.from_torch)

    lengths, batch_size = torch.tensor(case.lengths), len(case.lengths)
    features = numbers(batch_size, max(case.lengths) + case.surplus, D, dtype=case.dtype).requires_grad_()
    state, leaves = initial_leaves(stack, case)
    expanded = tuple(leaf.expand(-1, batch_size, -1) for leaf in leaves) or None

    outputs, final = stack(features, lengths, state)
    results, expected = (outputs, *final), run_packed(layers, features, lengths, expanded)
    tolerance = 1e-10 if case.dtype == torch.float64 else 1e-4
    assert_all_close(results, expected, tolerance)
    assert_all_close(
        gradients(results, [features, *leaves, *ours]), gradients(expected, [features, *leaves, *theirs]), tolerance
    )


@every_cell
@both_directions
def test_single_sequence_equals_itself_in_a_batch(cell: str, bidirectional: bool) -> None:
    stack = make_stack(cell, num_layers=2, bidirectional=bidirectional, initial_state="learned")
    lengths = torch.tensor([2, 6, 1, 4, 4])
    features, given_state = numbers(5, 8, D), random_state(stack, 5)
    for state in (None, given_state):
        outputs, final = stack(features, lengths, state)
        for row, length in enumerate(lengths.tolist()):
            own_state = state and stack.state_type(*(tensor[:, row : row + 1] for tensor in state))
            alone, own_final = stack(features[row : row + 1, :length], lengths[row : row + 1], own_state)
            assert_all_close([outputs[row : row + 1, :length]], [alone])
            assert_all_close([tensor[:, row : row + 1] for tensor in final], own_final)


@every_cell
@both_directions
def test_padding_is_not_read(cell: str, bidirectional: bool) -> None:
    stack = make_stack(cell, num_layers=2, bidirectional=bidirectional)
    lengths = torch.tensor([3, 1, 5, 3])
    padding = torch.arange(7) >= lengths.unsqueeze(1)
    clean = numbers(4, 7, D)
    dirty = clean.masked_fill(padding.unsqueeze(-1), float("nan")).requires_grad_()
    clean.requires_grad_()
    leaves = list(stack.parameters())
    results, expected = [(out.outputs, *out.state) for out in (stack(dirty, lengths), stack(clean, lengths))]
    assert_all_close(results, expected)
    from_dirty, from_clean = gradients(results, [dirty, *leaves]), gradients(expected, [clean, *leaves])
    assert_all_close(from_dirty, from_clean)
    assert (from_dirty[0][padding] == 0).all()


@every_cell
@both_directions
def test_outputs_are_zero_beyond_each_length_and_only_there(cell: str, bidirectional: bool) -> None:
    lengths = torch.tensor([3, 1, 5, 3])
    outputs = make_stack(cell, num_layers=2, bidirectional=bidirectional)(numbers(4, 7, D), lengths).outputs
    padding = torch.arange(7) >= lengths.unsqueeze(1)
    assert outputs.shape == (4, 7, H * (1 + bidirectional))
    assert (outputs[padding] == 0).all()
    assert (outputs[~padding] != 0).any(-1).all()


@every_cell
def test_final_hidden_is_the_output_at_each_end(cell: str) -> None:
    stack = make_stack(cell, num_layers=2, bidirectional=True)
    lengths = torch.tensor([3, 1, 5, 3])
    outputs, final = stack(numbers(4, 6, D), lengths)
    assert_all_close([final.hidden[-2]], [outputs[torch.arange(4), lengths - 1, :H]])
    assert_all_close([final.hidden[-1]], [outputs[:, 0, H:]])


@every_cell
@pytest.mark.parametrize("border", [1, 4, 6])
def test_two_chunks_with_carried_state_equal_one_run(cell: str, border: int) -> None:
    stack = make_stack(cell, num_layers=2)
    features, state = numbers(3, 7, D).requires_grad_(), random_state(stack, 3)
    whole, final = stack(features, torch.full((3,), 7), state)
    first, carried = stack(features[:, :border], torch.full((3,), border), state)
    second, last = stack(features[:, border:], torch.full((3,), 7 - border), carried)

    one, two = (whole, *final), (torch.cat([first, second], 1), *last)
    leaves = [features, *state, *stack.parameters()]
    assert_all_close(two, one)
    assert_all_close(gradients(two, leaves), gradients(one, leaves))


@every_cell
def test_learned_initial_state_gets_gradients_everywhere(cell: str) -> None:
    stack = make_stack(cell, num_layers=2, bidirectional=True, initial_state="learned")
    assert stack.initial_state is not None
    assert [tuple(tensor.shape) for tensor in stack.initial_state] == [(4, 1, H)] * len(stack.state_type._fields)
    outputs, final = stack(numbers(3, 4, D), torch.tensor([4, 1, 2]))
    for gradient in gradients([outputs, *final], stack.initial_state):
        assert (gradient != 0).any(-1).all()


@every_cell
def test_zero_state_is_the_default(cell: str) -> None:
    stack = make_stack(cell, num_layers=2)
    features, lengths = numbers(2, 3, D), torch.tensor([3, 2])
    zeros = stack.state_type(*(torch.zeros_like(tensor) for tensor in random_state(stack, 2)))
    assert_all_close([stack(features, lengths).outputs], [stack(features, lengths, zeros).outputs])


def dropout_calls(stack: RecurrentStack) -> list[tuple[Tensor, Tensor]]:
    """A list that records the inputs and outputs of the stack's dropout."""
    calls: list[tuple[Tensor, Tensor]] = []
    stack.dropout.register_forward_hook(lambda module, inputs, output: calls.append((inputs[0], output)))
    return calls


@both_directions
def test_dropout_acts_between_layers_only(bidirectional: bool) -> None:
    options = {"num_layers": 3, "bidirectional": bidirectional}
    with_dropout, without = make_stack("gru", dropout=0.5, **options), make_stack("gru", **options)
    calls = dropout_calls(with_dropout)
    features, lengths = numbers(4, 6, D), torch.tensor([6, 2, 4, 6])
    dropped, plain = with_dropout.train()(features, lengths), without(features, lengths)

    directions = with_dropout.directions
    assert_all_close([dropped.state.hidden[:directions]], [plain.state.hidden[:directions]])
    assert (dropped.state.hidden[directions:] != plain.state.hidden[directions:]).any(-1).all()
    assert (dropped.outputs[0] != 0).all()
    assert len(calls) == 2
    for before, after in calls:
        assert before.shape[-1] == with_dropout.output_size
        assert (after[before != 0] == 0).any()
        assert (after != 0).any()


def test_dropout_is_off_in_evaluation_and_for_one_layer() -> None:
    features, lengths = numbers(4, 6, D), torch.tensor([6, 2, 4, 6])
    for layers, training in ((1, True), (3, False)):
        with_dropout = make_stack("lstm", num_layers=layers, dropout=0.9).train(training)
        without = make_stack("lstm", num_layers=layers)
        assert_all_close([with_dropout(features, lengths).outputs], [without(features, lengths).outputs])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cell": "lstn"}, r"'lstn'.*gru.*lstm.*rnn.*rnn_relu"),
        ({"initial_state": "ones"}, r"'ones'.*zeros, learned"),
        ({"num_layers": 0}, "num_layers.*0"),
        ({"input_size": 0}, "input_size=0"),
        ({"hidden_size": 0}, "hidden_size=0"),
        ({"dropout": 1.0}, r"dropout.*1\.0"),
        ({"dropout": -0.1}, r"dropout.*-0\.1"),
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, object], message: str) -> None:
    options = {"cell": "lstm", "input_size": D, "hidden_size": H, **wrong}
    with pytest.raises(ValueError, match=message):
        RecurrentStack(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize(("inputs", "weights"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_inputs_of_another_dtype_are_refused_by_every_cell(
    cell: str, inputs: torch.dtype, weights: torch.dtype
) -> None:
    stack = RecurrentStack(cell=cell, input_size=3, hidden_size=4).to(weights)
    names = [str(dtype).removeprefix("torch.") for dtype in (inputs, weights)]
    with pytest.raises(ValueError, match=f"the inputs are {names[0]} and the weights {names[1]}: convert one of them"):
        stack(torch.randn(2, 5, 3, dtype=inputs), torch.tensor([5, 3]))


@pytest.mark.parametrize("shape", [(2, 5, 2), (2, 5, 4), (2, 5), (5, 3), (2, 5, 3, 1)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    stack = RecurrentStack(cell="lstm", input_size=3, hidden_size=4)
    message = f"the inputs are features of shape {shape}, expected features of shape (batch, steps, 3)"
    with pytest.raises(ValueError, match=re.escape(message)):
        stack(torch.randn(shape), torch.full(shape[:1], 5))


def test_one_hot_and_features_are_not_mixed() -> None:
    ids, lengths = torch.zeros(2, 5, dtype=torch.int64), torch.tensor([5, 3])
    options = {"cell": "lstm", "input_size": 3, "hidden_size": 4}
    with pytest.raises(ValueError, match=r"the inputs are a OneHot .*expected features"):
        RecurrentStack(**options)(OneHot(ids, 3), lengths)  # type: ignore[arg-type]
    for inputs in (torch.randn(2, 5, 3), OneHot(ids, 2)):
        with pytest.raises(ValueError, match=r"expected a OneHot of shape \(batch, steps, 3\)"):
            RecurrentStack(**options, one_hot=True)(inputs, lengths)  # type: ignore[arg-type]


@pytest.mark.parametrize("lengths", [[5, 5], [3, 5]])
@pytest.mark.parametrize("rows", [1, 3])
def test_state_of_another_batch_size_is_refused(lengths: list[int], rows: int) -> None:
    stack = make_stack("lstm")
    with pytest.raises(ValueError, match=f"the state is of {rows} sequences and the batch of 2"):
        stack(numbers(2, 5, D), torch.tensor(lengths), stack.make_initial_state(rows))


def test_lengths_of_floating_point_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lengths must be integers, got torch\.float32"):
        make_stack("lstm")(numbers(2, 5, D), torch.tensor([5.0, 3.0]))
