"""The cells match their papers' equations, implemented in NumPy for one sequence and step at a time."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from recurrent_checks import D, H, make_stack, numbers, random_state

from sluice.recurrent import CellOptions, RecurrentStack
from sluice.recurrent.scan import force_backend

Array = np.ndarray[Any, np.dtype[np.float64]]
Step = Callable[["Weights", Array, tuple[Array, ...]], tuple[Array, ...]]
"""Maps the weights, x (D,) and the state, h (H,) or h and c, to the next state."""

EPSILON = 1e-5
"""Added to the variance; the papers omit it."""
LENGTHS = [5, 1, 7, 4]


class Weights:
    """A cell's parameters, gate by gate."""

    def __init__(self, stack: RecurrentStack, activation: str, cell_activation: str) -> None:
        (cell,) = stack.cells
        self.all: dict[str, Array] = {name: value.detach().numpy() for name, value in cell.named_parameters()}
        self._index: dict[str, int] = {gate: index for index, gate in enumerate(cell.gates)}
        self.f, self.f_c = FUNCTIONS[activation], FUNCTIONS[cell_activation]

    def of(self, name: str, gate: str) -> Array:
        index = self._index[gate]
        return self.all[name][index * H : (index + 1) * H]

    def from_input(self, gate: str, x: Array) -> Array:
        """W_i x + b_i."""
        return self.of("weight_ih", gate) @ x + self.of("bias_ih", gate)

    def from_hidden(self, gate: str, h: Array) -> Array:
        """W_h h + b_h."""
        return self.of("weight_hh", gate) @ h + self.of("bias_hh", gate)

    def sum(self, gate: str, x: Array, h: Array) -> Array:
        return self.from_input(gate, x) + self.from_hidden(gate, h)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normalised(a: Array, gain: Array, bias: Array) -> Array:
    """Ba et al., equations 3 and 4."""
    mean = a.sum() / len(a)
    deviation = np.sqrt(((a - mean) ** 2).sum() / len(a) + EPSILON)
    return gain * (a - mean) / deviation + bias


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sigmoid,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "identity": lambda x: x,
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "gelu": lambda x: x * np.asarray([(1 + math.erf(value / math.sqrt(2))) / 2 for value in x]),
    "silu": lambda x: x * sigmoid(x),
}


def rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (w.f(w.sum("new", x, h)),)


def rnn_layernorm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    a = w.of("weight_hh", "new") @ h + w.of("weight_ih", "new") @ x
    return (w.f(normalised(a, w.all["gain"], w.all["bias"])),)


def gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    r, z = sigmoid(w.sum("reset", x, h)), sigmoid(w.sum("update", x, h))
    new = w.f(w.from_input("new", x) + r * w.from_hidden("new", h))
    return (z * h + (1 - z) * new,)


def gru_reset_before(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    r, z = sigmoid(w.sum("reset", x, h)), sigmoid(w.sum("update", x, h))
    new = w.f(w.sum("new", x, r * h))
    return (z * h + (1 - z) * new,)


def lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    i, f, o = (sigmoid(w.sum(gate, x, h)) for gate in ("input", "forget", "output"))
    c = f * c + i * w.f_c(w.sum("candidate", x, h))
    return o * w.f(c), c


def lstm_peephole(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    into_input, into_forget, into_output = w.all["peephole"]
    i = sigmoid(w.sum("input", x, h) + into_input * c)
    f = sigmoid(w.sum("forget", x, h) + into_forget * c)
    c = f * c + i * w.f_c(w.sum("candidate", x, h))
    o = sigmoid(w.sum("output", x, h) + into_output * c)
    return o * w.f(c), c


def lstm_coupled(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    f, o = sigmoid(w.sum("forget", x, h)), sigmoid(w.sum("output", x, h))
    i = 1 - f
    c = f * c + i * w.f_c(w.sum("candidate", x, h))
    return o * w.f(c), c


def lstm_layernorm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    of_h = normalised(w.all["weight_hh"] @ h, w.all["gain_hh"], w.all["bias_hh"])
    of_x = normalised(w.all["weight_ih"] @ x, w.all["gain_ih"], w.all["bias_ih"])
    i, f, g, o = np.split(of_h + of_x, 4)
    c = sigmoid(f) * c + sigmoid(i) * w.f_c(g)
    return sigmoid(o) * w.f(normalised(c, w.all["gain_cell"], w.all["bias_cell"])), c


PAPERS: dict[str, Step] = {
    "rnn": rnn,
    "rnn_layernorm": rnn_layernorm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "lstm": lstm,
    "lstm_peephole": lstm_peephole,
    "lstm_coupled": lstm_coupled,
    "lstm_layernorm": lstm_layernorm,
}
OF_LSTMS = [name for name in PAPERS if name.startswith("lstm")]
backends = pytest.mark.parametrize("backend", ["fused", "steps", None])


def check(name: str, backend: str | None, **chosen: str) -> None:
    """Compares a batch with its sequences run alone through the paper's equations."""
    stack = make_stack(name, options=CellOptions(**chosen))  # type: ignore[arg-type]
    weights = Weights(stack, chosen.get("activation", "tanh"), chosen.get("cell_activation", "tanh"))
    inputs, state = numbers(len(LENGTHS), max(LENGTHS), D), random_state(stack, len(LENGTHS))
    with torch.no_grad():
        if backend is None:
            found = stack(inputs, torch.tensor(LENGTHS), state)
        else:
            with force_backend(backend):
                found = stack(inputs, torch.tensor(LENGTHS), state)
    for row, length in enumerate(LENGTHS):
        own = tuple(field[0, row].detach().numpy() for field in state)
        for step in range(length):
            own = PAPERS[name](weights, inputs[row, step].numpy(), own)
            np.testing.assert_allclose(found.outputs[row, step].numpy(), own[0], rtol=1e-10, atol=1e-10)
        for field, expected in zip(found.state, own, strict=True):
            np.testing.assert_allclose(field[0, row].numpy(), expected, rtol=1e-10, atol=1e-10)


@backends
@pytest.mark.parametrize("name", PAPERS)
def test_cell_matches_its_paper(name: str, backend: str | None) -> None:
    check(name, backend)


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("name", PAPERS)
def test_activation_replaces_f_in_the_equations(name: str, activation: str) -> None:
    check(name, None, activation=activation)


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("name", OF_LSTMS)
def test_cell_activation_replaces_f_c_in_the_equations(name: str, activation: str) -> None:
    check(name, None, cell_activation=activation)


@pytest.mark.parametrize("name", OF_LSTMS)
def test_lstm_activations_are_not_swapped(name: str) -> None:
    check(name, None, activation="softsign", cell_activation="elu")


def test_rnn_relu_equals_rnn_with_relu_activation() -> None:
    stack, same = make_stack("rnn_relu"), make_stack("rnn", options=CellOptions(activation="relu"))
    inputs, lengths = numbers(2, 5, D), torch.tensor([5, 3])
    torch.testing.assert_close(stack(inputs, lengths).outputs, same(inputs, lengths).outputs, rtol=0, atol=1e-12)


def test_zero_peepholes_equal_the_lstm() -> None:
    plain, peeping = make_stack("lstm"), make_stack("lstm_peephole")
    peeping.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(peeping.cells[0].peephole)  # type: ignore[arg-type]
    inputs, lengths = numbers(2, 5, D), torch.tensor([5, 3])
    torch.testing.assert_close(peeping(inputs, lengths).outputs, plain(inputs, lengths).outputs, rtol=0, atol=1e-12)
