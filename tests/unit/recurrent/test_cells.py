"""Cells: registration, initialisers and weight layout."""

import math
from typing import Any

import pytest
import torch
from recurrent_checks import ALL_CELLS, H, make_stack, numbers, random_cell

from sluice.recurrent import CELLS, CellOptions, HiddenState, LSTMState, make_cell
from sluice.recurrent.cells import base

every_cell = pytest.mark.parametrize("name", ALL_CELLS)


def test_unknown_cell_error_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="'elman'") as error:
        make_cell("elman", input_size=2, hidden_size=2)
    assert all(name in str(error.value) for name in CELLS)


@every_cell
@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (-1, 2)])
def test_sizes_below_one_are_refused(name: str, sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"input_size={sizes[0]}, hidden_size={sizes[1]}"):
        make_cell(name, input_size=sizes[0], hidden_size=sizes[1])


@every_cell
def test_recurrent_weights_are_orthogonal_per_gate(name: str) -> None:
    cell = make_cell(name, input_size=3, hidden_size=8)
    gates = cell.weight_hh.detach().chunk(len(cell.gates))
    for gate in gates:
        torch.testing.assert_close(gate @ gate.t(), torch.eye(8), atol=1e-5, rtol=0)
    assert all(not torch.equal(gate, gates[0]) for gate in gates[1:])


@every_cell
@pytest.mark.parametrize("one_hot", [False, True])
def test_input_weights_are_xavier_initialised_per_gate(name: str, one_hot: bool) -> None:
    torch.manual_seed(0)
    cell = make_cell(name, input_size=50, hidden_size=20, one_hot=one_hot)
    fan_in = 1 if one_hot else 50  # of a one-hot row, a single unit is active
    limit = math.sqrt(6 / (fan_in + 20))
    for gate in cell.weight_ih.detach().chunk(len(cell.gates), 1 if one_hot else 0):
        assert sorted(gate.shape) == [20, 50]
        assert 0.97 * limit < gate.abs().max() <= limit


@every_cell
def test_two_cells_have_different_initial_weights(name: str) -> None:
    first, second = (make_cell(name, input_size=3, hidden_size=8) for _ in range(2))
    assert not torch.equal(first.weight_ih, second.weight_ih)
    assert not torch.equal(first.weight_hh, second.weight_hh)


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 2.5])
def test_forget_bias_applies_to_the_lstm_forget_gate_only(forget_bias: float) -> None:
    cell = make_cell("lstm", input_size=3, hidden_size=H, options=CellOptions(forget_bias=forget_bias))
    total = dict(zip(cell.gates, (cell.bias_ih + cell.bias_hh).chunk(4), strict=True))
    assert all((bias == (forget_bias if gate == "forget" else 0)).all() for gate, bias in total.items())


@pytest.mark.parametrize("forget_bias", [1.0, 2.5])
def test_forget_bias_applies_to_the_gru_update_gate_only(forget_bias: float) -> None:
    cell = make_cell("gru", input_size=3, hidden_size=H, options=CellOptions(forget_bias=forget_bias))
    total = dict(zip(cell.gates, (cell.bias_ih + cell.bias_hh).chunk(3), strict=True))
    assert all((bias == (forget_bias - 1 if gate == "update" else 0)).all() for gate, bias in total.items())


@pytest.mark.parametrize(("name", "norm", "own"), [("lstm_layernorm", "gain_hh", 0.1), ("rnn_layernorm", "gain", 1.0)])
@pytest.mark.parametrize("chosen", [None, 0.25])
def test_layernorm_init_gain_applies_to_recurrent_gain_only(
    name: str, norm: str, own: float, chosen: float | None
) -> None:
    cell = make_cell(name, input_size=3, hidden_size=H, options=CellOptions(layernorm_init_gain=chosen))
    gains = {key: value for key, value in cell.named_parameters() if key.startswith("gain")}
    expected = torch.tensor(own if chosen is None else chosen)
    assert all((value == (expected if key == norm else 1)).all() for key, value in gains.items())


def test_large_forget_bias_keeps_the_old_state() -> None:
    inputs, hidden, memory = numbers(2, 3), numbers(2, H, seed=2), numbers(2, H, seed=3).requires_grad_()
    gru = make_cell("gru", input_size=3, hidden_size=H, options=CellOptions(forget_bias=40.0)).double()
    lstm = make_cell("lstm", input_size=3, hidden_size=H, options=CellOptions(forget_bias=40.0)).double()
    kept = gru.step(gru.project(inputs), HiddenState(hidden), gru.recurrence(2))[0].hidden
    torch.testing.assert_close(kept, hidden)
    cell = lstm.step(lstm.project(inputs), LSTMState(hidden, memory), lstm.recurrence(2))[0].cell
    torch.testing.assert_close(torch.autograd.grad(cell.sum(), memory)[0], torch.ones(2, H, dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "mode"), [("rnn_relu", "RNN_RELU"), ("rnn", "RNN_TANH"), ("lstm", "LSTM"), ("gru", "GRU")]
)
def test_moving_a_cell_flattens_its_cudnn_weights(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(base, "_on_cudnn", lambda weights: weights[0].dtype == torch.float64)  # simulates a GPU
    monkeypatch.setattr(torch.backends.cudnn.rnn, "get_cudnn_mode", str)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *given: calls.append(given))
    stack = make_stack(name, num_layers=2, bidirectional=True, dtype=torch.float32)
    assert not calls
    stack.double()
    flattened = [weight for weights, *_ in calls for weight in weights]
    assert {id(weight) for weight in flattened} == {id(parameter) for parameter in stack.parameters()}
    assert [rest for _, *rest in calls] == [
        [4, cell.input_size, mode, cell.hidden_size, 0, 1, False, False] for cell in stack.cells
    ]


def test_cell_without_cudnn_support_is_not_flattened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_on_cudnn", lambda _: True)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *_: pytest.fail("flattened"))
    for cell in (random_cell("lstm_peephole"), random_cell("gru_reset_before"), random_cell("lstm", one_hot=True)):
        cell.float()
