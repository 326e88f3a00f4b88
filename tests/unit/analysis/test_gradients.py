"""Gradient norms by distance, against two steps by hand and against probes in every cell."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sluice.analysis.gradients import gradient_norms
from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack
from sluice.recurrent.scan import force_backend
from sluice.recurrent.states import top_hidden

every_cell = pytest.mark.parametrize("cell", sorted(CELLS))
LENGTHS = torch.tensor([5, 2, 4])


def make_stack(cell: str = "lstm", **options: object) -> RecurrentStack:
    torch.manual_seed(3)
    settings = {"input_size": 3, "hidden_size": 4, "num_layers": 1, **options}
    return RecurrentStack(cell=cell, **settings)  # type: ignore[arg-type]


def features() -> Tensor:
    return torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(4))


def half_square(top: Tensor) -> Tensor:
    return top.square().sum() / 2


def test_rnn_gradients_match_two_steps_by_hand() -> None:
    """L = h₂²/2 with h₂ = tanh(W x₂ + U h₁ + b): ∂L/∂h₂ = h₂ and ∂L/∂h₁ = Uᵀ ((1 − h₂²) ⊙ h₂)."""
    stack, inputs = make_stack("rnn"), features()[:1, :2]
    cell = stack.cells[0]
    bias = cell.bias_ih + cell.bias_hh
    first = torch.tanh(cell.weight_ih @ inputs[0, 0] + bias)
    second = torch.tanh(cell.weight_ih @ inputs[0, 1] + cell.weight_hh @ first + bias)
    by_hand = torch.stack([second.norm(), (cell.weight_hh.T @ ((1 - second**2) * second)).norm()])
    found = gradient_norms(stack, inputs, torch.tensor([2]), half_square)
    assert set(found) == {"hidden"}
    torch.testing.assert_close(found["hidden"], by_hand.view(1, 1, 2))


def test_lstm_gradients_match_two_steps_by_hand() -> None:
    """∂L/∂c₁ = f₂ ⊙ o₂ ⊙ (1 − tanh²(c₂)) ⊙ h₂: the gradient through the cell state alone."""
    stack, inputs = make_stack("lstm"), features()[:1, :2]
    cell = stack.cells[0]
    with torch.no_grad():
        cell.weight_hh.zero_()  # no gradient flows back through h
    trace = stack.trace(inputs, torch.tensor([2])).cells[0]
    hidden, state = trace.states.hidden[0], trace.states.cell[0]
    gates = {name: gate[0] for name, gate in trace.gates.items()}
    slope = gates["output"] * (1 - state.tanh() ** 2)
    of_second = slope[1] * hidden[1]
    of_first = gates["forget"][1] * of_second
    found = gradient_norms(stack, inputs, torch.tensor([2]), half_square)
    torch.testing.assert_close(found["cell"][0, 0], torch.stack([of_second.norm(), of_first.norm()]))
    torch.testing.assert_close(found["hidden"][0, 0], torch.stack([hidden[1].norm(), torch.tensor(0.0)]))


def add_probes(stack: RecurrentStack, layer: int, steps: int) -> Tensor:
    """Adds (steps, H) zeros to the layer's hidden states; their gradient equals that of the states."""
    cell = stack.cell_list()[layer]
    probes = torch.zeros(steps, cell.hidden_size, requires_grad=True)
    step, counter = cell.step, iter(range(steps))

    def probing(projected: Tensor, state: Any, recurrent: Any) -> Any:
        after, gates = step(projected, state, recurrent)
        return after._replace(hidden=after.hidden + probes[next(counter)]), gates

    cell.step = probing  # type: ignore[assignment]
    return probes


@every_cell
@pytest.mark.parametrize(("layers", "residual"), [(1, False), (2, False), (2, True)])
def test_every_cell_matches_probe_gradients(cell: str, layers: int, residual: bool) -> None:
    assert_probe_gradients(cell, num_layers=layers, residual=residual)


def test_layers_of_unequal_size_match_probe_gradients() -> None:
    assert_probe_gradients("gru", hidden_size=[5, 2], num_layers=2)


def assert_probe_gradients(cell: str, **options: object) -> None:
    found = gradient_norms(make_stack(cell, **options), features(), LENGTHS, half_square)
    for layer in range(len(found["hidden"])):
        for row, length in enumerate(LENGTHS.tolist()):
            stack = make_stack(cell, **options)
            probes = add_probes(stack, layer, length)
            with force_backend("steps"):
                after = stack(features()[row : row + 1, :length], torch.tensor([length])).state
            (gradient,) = torch.autograd.grad(half_square(top_hidden(after, 1)), probes)
            norms = found["hidden"][layer, row, :length]
            torch.testing.assert_close(norms, gradient.norm(dim=-1).flip(0), rtol=1e-4, atol=1e-6)


def test_cell_state_gradients_match_a_split_run() -> None:
    """∂L/∂c_t is the gradient from later steps plus the gradient through h_t = o ⊙ tanh(c_t)."""
    stack, inputs = make_stack("lstm"), features()
    found = gradient_norms(stack, inputs, LENGTHS, half_square)["cell"][0]
    trace = stack.trace(inputs, LENGTHS).cells[0]
    slope = trace.gates["output"] * (1 - trace.states.cell.tanh() ** 2)
    for row, length in enumerate(LENGTHS.tolist()):
        for at in range(1, length):
            before = stack(inputs[row : row + 1, :at], torch.tensor([at])).state
            cut = type(before)(*(part.detach().requires_grad_() for part in before))
            after = stack(inputs[row : row + 1, at:length], torch.tensor([length - at]), cut).state
            of_hidden, of_cell = torch.autograd.grad(half_square(after.hidden[-1]), cut)
            whole = of_cell[0, 0] + slope[row, at - 1] * of_hidden[0, 0]
            torch.testing.assert_close(found[row, length - at], whole.norm())


def test_norms_beyond_the_sequence_length_are_nan() -> None:
    found = gradient_norms(make_stack(), features(), LENGTHS, half_square)
    for norms in found.values():
        assert norms.shape == (1, 3, 5)
        assert torch.equal(norms[0].isnan(), torch.arange(5) >= LENGTHS.unsqueeze(1))


def test_one_hot_input_matches_dense_input() -> None:
    ids = torch.tensor([[2, 0, 1], [1, 1, 0]])
    lengths = torch.tensor([3, 2])
    one_hot = make_stack("gru", one_hot=True)
    dense = make_stack("gru")
    dense.load_state_dict({**one_hot.state_dict(), "cells.0.weight_ih": one_hot.cells[0].weight_ih.T})
    norms = gradient_norms(one_hot, OneHot(ids, 3), lengths, half_square)["hidden"]
    torch.testing.assert_close(
        norms, gradient_norms(dense, OneHot(ids, 3).materialise(), lengths, half_square)["hidden"], equal_nan=True
    )


def test_gradients_vanish_in_rnn_but_not_with_open_forget_gate() -> None:
    inputs, lengths = torch.randn(8, 60, 3, generator=torch.Generator().manual_seed(0)), torch.full((8,), 60)
    small = make_stack("rnn", hidden_size=16)
    open_gate = make_stack("lstm", hidden_size=16, options=CellOptions(forget_bias=8.0))
    with torch.no_grad():
        small.cells[0].weight_hh.mul_(0.5)
    forgotten = gradient_norms(small, inputs, lengths, half_square)["hidden"][0].mean(0)
    kept = gradient_norms(open_gate, inputs, lengths, half_square)["cell"][0].mean(0)
    assert forgotten[50] < 1e-10 * forgotten[0]
    assert kept[50] > 0.1 * kept[0]


def test_dropout_is_off_and_training_mode_is_unchanged() -> None:
    stack = make_stack(num_layers=2, dropout=0.5, options=CellOptions(recurrent_dropout=0.5)).train()
    first, second = (gradient_norms(stack, features(), LENGTHS, half_square)["hidden"] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    assert stack.training
    assert all(parameter.grad is None for parameter in stack.parameters())


def test_bidirectional_stack_and_invalid_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need a unidirectional stack: set model\.bidirectional=false"):
        gradient_norms(make_stack(bidirectional=True), features(), LENGTHS, half_square)
    with pytest.raises(ValueError, match="between 1 and the 5 steps"):
        gradient_norms(make_stack(), features(), torch.tensor([6, 1, 1]), half_square)
