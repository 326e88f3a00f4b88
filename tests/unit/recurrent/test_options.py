"""Every valid combination of stack options trains; invalid values are refused."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_checks import ALL_CELLS, D, H, numbers, one_hot_batch, raw_lengths
from torch import Tensor

from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack, make_cell
from sluice.recurrent.activations import ACTIVATIONS

OF_CELLS = {
    "activation",
    "cell_activation",
    "forget_bias",
    "layernorm_init_gain",
    "recurrent_dropout",
    "weight_dropout",
    "recurrent_init",
}
"""Options of CellOptions; the others belong to the stack."""
WITHOUT_CELL_ACTIVATION = [name for name in ALL_CELLS if "cell_activation" not in CELLS[name].default_activations]
Chosen = dict[str, Any]

dropouts = st.sampled_from([0.0, 0.3, 0.8])
activations = st.sampled_from([None, *ACTIVATIONS])


@st.composite
def choices(draw: st.DrawFn) -> Chosen:
    """A valid combination of all options."""
    cell, num_layers = draw(st.sampled_from(ALL_CELLS)), draw(st.integers(1, 3))
    return {
        "cell": cell,
        "input_size": D,
        "hidden_size": draw(st.integers(1, H)),
        "num_layers": num_layers,
        "bidirectional": draw(st.booleans()),
        "residual": num_layers > 1 and draw(st.booleans()),
        "dropout": draw(dropouts),
        "initial_state": draw(st.sampled_from(["zeros", "learned"])),
        "one_hot": draw(st.booleans()),
        "activation": draw(activations),
        "cell_activation": None if cell in WITHOUT_CELL_ACTIVATION else draw(activations),
        "forget_bias": draw(st.sampled_from([-1.0, 0.0, 1.0, 3.0])),
        "layernorm_init_gain": draw(st.sampled_from([None, 0.1, 1.0])),
        "recurrent_dropout": draw(dropouts),
        "weight_dropout": draw(dropouts),
        "recurrent_init": draw(st.sampled_from(["orthogonal", "xavier", "uniform"])),
    }


def make(chosen: Chosen) -> RecurrentStack:
    options = CellOptions(**{name: value for name, value in chosen.items() if name in OF_CELLS})
    return RecurrentStack(**{name: value for name, value in chosen.items() if name not in OF_CELLS}, options=options)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(chosen=choices(), lengths=raw_lengths, surplus=st.integers(0, 1))
def test_every_valid_combination_trains(chosen: Chosen, lengths: list[int], surplus: int) -> None:
    torch.manual_seed(0)
    stack, batch_size, steps = make(chosen).train(), len(lengths), max(lengths) + surplus
    inputs: Tensor | OneHot = numbers(batch_size, steps, D, dtype=torch.float32)
    if chosen["one_hot"]:
        inputs = one_hot_batch(batch_size, steps, D)
    outputs, state = stack(inputs, torch.tensor(lengths))
    assert outputs.shape == (batch_size, steps, stack.output_size)
    assert all(tensor.isfinite().all() for tensor in (outputs, *state))
    loss = outputs.square().sum() + sum(tensor.square().sum() for tensor in state)
    loss.backward()
    for name, parameter in stack.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.shape == parameter.shape, name
        assert parameter.grad.isfinite().all(), name
    torch.optim.SGD(stack.parameters(), lr=0.01).step()
    assert all(parameter.isfinite().all() for parameter in stack.parameters())


probabilities = st.sampled_from([1.0, 1.5, -0.1, float("nan"), float("inf")])
wrong_choices = st.one_of(
    st.tuples(st.sampled_from(["dropout", "recurrent_dropout", "weight_dropout"]), probabilities),
    st.tuples(st.sampled_from(["num_layers", "input_size", "hidden_size"]), st.integers(-2, 0)),
    st.tuples(
        st.sampled_from(["activation", "cell_activation", "recurrent_init", "initial_state", "cell"]),
        st.sampled_from(["swish", "Tanh", "", "zero"]),
    ),
)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(chosen=choices(), wrong=wrong_choices)
def test_invalid_value_is_named_in_the_error(chosen: Chosen, wrong: tuple[str, Any]) -> None:
    name, value = wrong
    with pytest.raises(ValueError) as error:
        make({**chosen, name: value})
    assert (repr(value) if isinstance(value, str) else str(value)) in str(error.value)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(chosen=choices(), cell=st.sampled_from(WITHOUT_CELL_ACTIVATION), cell_activation=st.sampled_from([*ACTIVATIONS]))
def test_cell_activation_is_refused_without_a_cell_state(chosen: Chosen, cell: str, cell_activation: str) -> None:
    with pytest.raises(
        ValueError, match=rf"cell_activation={cell_activation}.*{CELLS[cell].__name__} supports activation"
    ):
        make({**chosen, "cell": cell, "cell_activation": cell_activation})


@settings(deadline=None, max_examples=20, derandomize=True)
@given(chosen=choices())
def test_residual_single_layer_is_refused(chosen: Chosen) -> None:
    with pytest.raises(ValueError, match=r"residual.*num_layers"):
        make({**chosen, "num_layers": 1, "residual": True})


@pytest.mark.parametrize("name", ALL_CELLS)
def test_recurrent_dropout_mask_preserves_the_mean(name: str) -> None:
    cell = make_cell(name, input_size=D, hidden_size=200, options=CellOptions(recurrent_dropout=0.2))
    torch.manual_seed(0)
    mask = cell.train().recurrence(50).mask
    assert mask is not None
    assert mask.shape == (50, 200)
    assert sorted(mask.unique().tolist()) == [0, 1.25]
    assert abs(mask.mean() - 1) < 0.02
    assert cell.eval().recurrence(50).mask is None


@pytest.mark.parametrize("name", ALL_CELLS)
def test_weight_dropout_is_redrawn_in_every_call(name: str) -> None:
    cell = make_cell(name, input_size=D, hidden_size=50, options=CellOptions(weight_dropout=0.2))
    torch.manual_seed(0)
    first, second = [cell.train().recurrence(2).weight for _ in range(2)]
    kept = first != 0
    torch.testing.assert_close(first[kept], cell.weight_hh[kept] * 1.25)
    assert 0.75 < kept.float().mean() < 0.85
    assert not torch.equal(kept, second != 0)
    assert cell.eval().recurrence(2).weight is cell.weight_hh


@pytest.mark.parametrize("name", ALL_CELLS)
def test_xavier_recurrent_weights_are_initialised_per_gate(name: str) -> None:
    cell = make_cell(name, input_size=D, hidden_size=50, options=CellOptions(recurrent_init="xavier"))
    limit = (6 / 100) ** 0.5
    gates = cell.weight_hh.detach().chunk(len(cell.gates))
    assert all(0.97 * limit < gate.abs().max() <= limit for gate in gates)
    assert all(not torch.equal(gate, gates[0]) for gate in gates[1:])


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("name", ALL_CELLS)
def test_uniform_initialisation_is_that_of_torch(name: str, one_hot: bool) -> None:
    options = CellOptions(recurrent_init="uniform", forget_bias=0.5)
    cell = make_cell(name, input_size=D, hidden_size=64, options=options, one_hot=one_hot)
    weight_ih = cell.weight_ih.t() if one_hot else cell.weight_ih
    parameters = [weight_ih, cell.weight_hh, *(bias for bias in (cell.bias_ih, cell.bias_hh) if bias is not None)]
    forget = None if cell.forget_bias_gate is None else cell.gates.index(cell.forget_bias_gate)
    for parameter in parameters:
        for gate, values in enumerate(parameter.detach().chunk(len(cell.gates))):
            added = cell.initial_forget_bias() if parameter is cell.bias_ih and gate == forget else 0
            assert 0.8 / 8 < (values - added).abs().max() <= 1 / 8
            assert (values - added).abs().mean() == pytest.approx(1 / 16, rel=0.3)
