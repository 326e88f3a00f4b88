"""Activations by name, and their derivatives computed from their outputs."""

import math
from collections.abc import Callable

import pytest
import torch

from sluice import options
from sluice.recurrent import CellOptions, make_cell
from sluice.recurrent.activations import ACTIVATIONS, find_activation
from sluice.recurrent.fused.build import SOURCE
from sluice.recurrent.fused.native import ACTIVATION_CODES
from sluice.recurrent.initialisers import INITIALISERS
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.scan import force_backend, scan
from sluice.recurrent.states import HiddenState

SLOPED = [name for name, activation in ACTIVATIONS.items() if activation.slope is not None]
POINTS = [-30.0, -2.5, -1.0, -0.3, -1e-6, 0.0, 1e-6, 0.4, 1.0, 1.7, 19.0, 30.0]
"""Both tails, the kinks at -1, 0 and 1, and both sides of each."""


@pytest.mark.parametrize("name", SLOPED)
def test_slope_from_the_output_equals_the_derivative(name: str) -> None:
    function, slope = ACTIVATIONS[name]
    inputs = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    outputs = function(inputs)
    (expected,) = torch.autograd.grad(outputs.sum(), inputs)
    assert slope is not None
    # softplus is the identity from 20 on, where its slope is 1 - 2e-9
    torch.testing.assert_close(slope(outputs.detach()), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", SLOPED)
def test_slope_has_float64_precision(name: str) -> None:
    function, slope = ACTIVATIONS[name]
    inputs = torch.linspace(-3, 3, 31, dtype=torch.float64).requires_grad_()
    outputs = function(inputs)
    (expected,) = torch.autograd.grad(outputs.sum(), inputs)
    assert slope is not None
    torch.testing.assert_close(slope(outputs.detach()), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", SLOPED)
def test_slope_keeps_dtype_and_shape(name: str, dtype: torch.dtype) -> None:
    function, slope = ACTIVATIONS[name]
    assert slope is not None
    made = slope(function(torch.randn(2, 3, dtype=dtype)))
    assert (made.dtype, made.shape) == (dtype, (2, 3))


def test_unknown_activation_error_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="unknown activation 'tahn'") as error:
        find_activation("tahn")
    assert str(error.value).endswith("expected one of " + ", ".join(sorted(ACTIVATIONS)))


@pytest.mark.parametrize("option", ["activation", "cell_activation"])
def test_cell_refuses_an_unknown_activation(option: str) -> None:
    with pytest.raises(ValueError, match="unknown activation 'swish'"):
        make_cell("lstm", input_size=2, hidden_size=2, options=CellOptions(**{option: "swish"}))


def test_options_list_the_registered_names() -> None:
    assert list(options.ACTIVATIONS) == list(ACTIVATIONS)
    assert list(options.RECURRENT_INITS) == list(INITIALISERS)


def test_c_kernels_support_all_activations_with_a_slope() -> None:
    assert set(ACTIVATION_CODES) == set(SLOPED)
    assert sorted(ACTIVATION_CODES.values()) == list(range(len(SLOPED)))


def test_c_enum_matches_the_activation_codes() -> None:
    enum = SOURCE.with_name("elementwise.h").read_text(encoding="utf-8").split("enum {")[1].split("}")[0]
    assert [name.strip().lower() for name in enum.split(",")] == list(ACTIVATION_CODES)


@pytest.mark.parametrize("name", ["gru", "gru_reset_before", "rnn", "rnn_relu", "rnn_layernorm"])
def test_cell_without_cell_state_refuses_cell_activation(name: str) -> None:
    with pytest.raises(ValueError, match=r"cell_activation=relu cannot be used: \w+ supports activation$"):
        make_cell(name, input_size=2, hidden_size=2, options=CellOptions(cell_activation="relu"))


@pytest.mark.parametrize("name", SLOPED)
def test_cell_can_fuse_activations_with_a_slope(name: str) -> None:
    assert make_cell("lstm", input_size=2, hidden_size=2, options=CellOptions(activation=name)).can_fuse()


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - set(SLOPED)))
@pytest.mark.parametrize("option", ["activation", "cell_activation"])
def test_cell_cannot_fuse_activations_without_a_slope(name: str, option: str) -> None:
    assert not make_cell("lstm", input_size=2, hidden_size=2, options=CellOptions(**{option: name})).can_fuse()


def test_torch_kernel_supports_only_its_own_activations() -> None:
    own = make_cell("lstm", input_size=2, hidden_size=2, options=CellOptions(activation="tanh"))
    other = make_cell("lstm", input_size=2, hidden_size=2, options=CellOptions(activation="relu"))
    assert own.can_use_kernel(own.recurrence(1))
    assert not other.can_use_kernel(other.recurrence(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["fused", "steps"])
@pytest.mark.parametrize(
    ("name", "exact", "slope"),
    [
        ("softplus", lambda x: math.log1p(math.exp(x)), lambda x: 1 / (1 + math.exp(-x))),
        ("elu", math.expm1, None),  # its slope from the output, y + 1, has no such digits
    ],
)
def test_no_digits_cancel_for_small_values(
    name: str, exact: Callable[[float], float], slope: Callable[[float], float] | None, backend: str, dtype: torch.dtype
) -> None:
    """Relative errors, since values and slopes near 0 are differences of numbers near 1."""
    points = [-30.0, -20.0, -12.0, -5.0, -1.0, -0.35, -0.33, -1e-3, -1e-6]
    cell = make_cell("rnn", input_size=1, hidden_size=1, options=CellOptions(activation=name)).to(dtype)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.weight_ih.fill_(1)
    inputs = torch.tensor(points, dtype=dtype).view(1, -1, 1).requires_grad_()  # (T, B, 1)
    plan = LengthPlan(torch.ones(len(points), dtype=torch.int64), 1, inputs.device)
    state = HiddenState(torch.zeros(len(points), 1, dtype=dtype))
    with force_backend(backend):
        outputs = scan(cell, inputs, state, plan).outputs
    outputs.sum().backward()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    for value, gradient, point in zip(outputs.flatten().tolist(), inputs.grad.flatten().tolist(), points, strict=True):
        exact_point = torch.tensor(point, dtype=dtype).item()
        assert value == pytest.approx(exact(exact_point), rel=tolerance)
        if slope is not None:
            assert gradient == pytest.approx(slope(exact_point), rel=tolerance)
