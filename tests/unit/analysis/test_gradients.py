"""Norms of gradients by earlier states: a case of two steps by hand, and every cell against another way."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sluice.analysis.gradients import gradient_norms
from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack
from sluice.recurrent.scan import forced

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


def test_two_steps_of_a_simple_rnn_by_hand() -> None:
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


def test_two_steps_of_an_lstm_by_hand() -> None:
    """∂L/∂c₁ = f₂ ⊙ o₂ ⊙ (1 − tanh²(c₂)) ⊙ h₂: what comes back through the cell state past the hidden one."""
    stack, inputs = make_stack("lstm"), features()[:1, :2]
    cell = stack.cells[0]
    with torch.no_grad():
        cell.weight_hh.zero_()  # then nothing goes back through h
    trace = stack.trace(inputs, torch.tensor([2])).cells[0]
    hidden, state = trace.states.hidden[0], trace.states.cell[0]
    gates = {name: gate[0] for name, gate in trace.gates.items()}
    slope = gates["output"] * (1 - state.tanh() ** 2)
    of_second = slope[1] * hidden[1]
    of_first = gates["forget"][1] * of_second
    found = gradient_norms(stack, inputs, torch.tensor([2]), half_square)
    torch.testing.assert_close(found["cell"][0, 0], torch.stack([of_second.norm(), of_first.norm()]))
    torch.testing.assert_close(found["hidden"][0, 0], torch.stack([hidden[1].norm(), torch.tensor(0.0)]))


def probed(stack: RecurrentStack, layer: int, steps: int) -> Tensor:
    """(steps, H) zeros that the layer adds to its hidden state: their gradient is that of the state itself."""
    probes, cell = torch.zeros(steps, 4, requires_grad=True), stack.cells[layer]
    step, counter = cell.step, iter(range(steps))

    def probing(projected: Tensor, state: Any, recurrent: Any) -> Any:
        after, gates = step(projected, state, recurrent)
        return after._replace(hidden=after.hidden + probes[next(counter)]), gates

    cell.step = probing  # type: ignore[assignment]
    return probes


@every_cell
@pytest.mark.parametrize(("layers", "residual"), [(1, False), (2, False), (2, True)])
def test_every_cell_against_a_probe_in_the_stacks_own_run(cell: str, layers: int, residual: bool) -> None:
    found = gradient_norms(make_stack(cell, num_layers=layers, residual=residual), features(), LENGTHS, half_square)
    for layer in range(layers):
        for row, length in enumerate(LENGTHS.tolist()):
            stack = make_stack(cell, num_layers=layers, residual=residual)
            probes = probed(stack, layer, length)
            with forced("steps"):
                after = stack(features()[row : row + 1, :length], torch.tensor([length])).state
            (gradient,) = torch.autograd.grad(half_square(after.hidden[-1]), probes)
            told = found["hidden"][layer, row, :length]
            torch.testing.assert_close(told, gradient.norm(dim=-1).flip(0), rtol=1e-4, atol=1e-6)


def test_what_comes_back_to_the_cell_state_against_a_run_cut_in_two() -> None:
    """∂L/∂c_t is what comes back from the steps after it, and what comes back to h_t = o ⊙ tanh(c_t)."""
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


def test_before_the_first_step_there_is_nothing() -> None:
    found = gradient_norms(make_stack(), features(), LENGTHS, half_square)
    for norms in found.values():
        assert norms.shape == (1, 3, 5)
        assert torch.equal(norms[0].isnan(), torch.arange(5) >= LENGTHS.unsqueeze(1))


def test_words_as_one_hot_rows_are_features() -> None:
    ids = torch.tensor([[2, 0, 1], [1, 1, 0]])
    lengths = torch.tensor([3, 2])
    one_hot = make_stack("gru", one_hot=True)
    dense = make_stack("gru")
    dense.load_state_dict({**one_hot.state_dict(), "cells.0.weight_ih": one_hot.cells[0].weight_ih.T})
    told = gradient_norms(one_hot, OneHot(ids, 3), lengths, half_square)["hidden"]
    torch.testing.assert_close(
        told, gradient_norms(dense, OneHot(ids, 3).materialise(), lengths, half_square)["hidden"], equal_nan=True
    )


def test_a_tanh_network_forgets_and_an_lstm_that_keeps_everything_does_not() -> None:
    inputs, lengths = torch.randn(8, 60, 3, generator=torch.Generator().manual_seed(0)), torch.full((8,), 60)
    small = make_stack("rnn", hidden_size=16)
    keeping = make_stack("lstm", hidden_size=16, options=CellOptions(forget_bias=8.0))
    with torch.no_grad():
        small.cells[0].weight_hh.mul_(0.5)
    forgotten = gradient_norms(small, inputs, lengths, half_square)["hidden"][0].mean(0)
    kept = gradient_norms(keeping, inputs, lengths, half_square)["cell"][0].mean(0)
    assert forgotten[50] < 1e-10 * forgotten[0]
    assert kept[50] > 0.1 * kept[0]


def test_dropout_and_mode_are_left_alone() -> None:
    stack = make_stack(num_layers=2, dropout=0.5, options=CellOptions(recurrent_dropout=0.5)).train()
    first, second = (gradient_norms(stack, features(), LENGTHS, half_square)["hidden"] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    assert stack.training
    assert all(parameter.grad is None for parameter in stack.parameters())


def test_two_directions_and_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need a unidirectional stack: set model\.bidirectional=false"):
        gradient_norms(make_stack(bidirectional=True), features(), LENGTHS, half_square)
    with pytest.raises(ValueError, match="between 1 and the 5 steps"):
        gradient_norms(make_stack(), features(), torch.tensor([6, 1, 1]), half_square)
