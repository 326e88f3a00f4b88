"""What a core does while it reads a text is what its trace says, also where it begins anew in every segment."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sluice.analysis.hidden_states import color_scale, most_varying_units, record_hidden_states
from sluice.recurrent import OneHot, RecurrentStack

STEPS = 7


def stack_of(cell: str = "lstm", **options: object) -> RecurrentStack:
    torch.manual_seed(2)
    settings = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True, **options}
    return RecurrentStack(cell=cell, **settings).eval()  # type: ignore[arg-type]


def features() -> Tensor:
    return torch.randn(1, STEPS, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("layer", "backward", "place"), [(1, False, 0), (1, True, 1), (2, False, 2), (None, True, 3)])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_layer_and_direction_asked_for(cell: str, layer: int | None, backward: bool, place: int) -> None:
    stack, trace = stack_of(cell), stack_of(cell).trace(features(), torch.tensor([STEPS]))
    hidden = record_hidden_states(stack, features(), layer=layer, backward=backward)
    own = trace.cells[place]
    assert list(hidden.states) == list(own.states._fields)
    for name, values in hidden.states.items():
        torch.testing.assert_close(values, getattr(own.states, name)[0])
    assert list(hidden.gates) == list(own.gates)
    for name, values in hidden.gates.items():
        torch.testing.assert_close(values, own.gates[name][0])
    torch.testing.assert_close(hidden.outputs, trace.outputs[0])
    torch.testing.assert_close(hidden.top, trace.outputs[0])


def test_with_residuals_the_outputs_are_not_the_top_layers_state() -> None:
    hidden = record_hidden_states(stack_of(residual=True, bidirectional=False), features())
    torch.testing.assert_close(hidden.top, hidden.states["hidden"])
    assert not torch.allclose(hidden.outputs, hidden.top)


@pytest.mark.parametrize("one_hot", [False, True])
def test_segments_are_runs_of_their_own(one_hot: bool) -> None:
    stack = stack_of(one_hot=one_hot)
    ids = torch.tensor([[0, 2, 1, 1, 0, 2, 0]])

    def steps(part: slice) -> Tensor | OneHot:
        return OneHot(ids[:, part], 3) if one_hot else features()[:, part]

    whole = record_hidden_states(stack, steps(slice(None)), segment_length=3, backward=True)
    pieces = [record_hidden_states(stack, steps(slice(start, start + 3)), backward=True) for start in (0, 3, 6)]
    torch.testing.assert_close(whole.outputs, torch.cat([piece.outputs for piece in pieces]))
    torch.testing.assert_close(whole.states["cell"], torch.cat([piece.states["cell"] for piece in pieces]))
    torch.testing.assert_close(whole.gates["forget"], torch.cat([piece.gates["forget"] for piece in pieces]))
    assert len(whole.top) == STEPS


@pytest.mark.parametrize("layer", [0, 3, -1])
def test_a_layer_that_is_not_there(layer: int) -> None:
    with pytest.raises(ValueError, match=f"no layer {layer}: choose from 1 to 2"):
        record_hidden_states(stack_of(), features(), layer=layer)


def test_a_direction_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no backward direction"):
        record_hidden_states(stack_of(bidirectional=False), features(), backward=True)


def test_the_units_that_change_most_come_first() -> None:
    values = np.array([[0, 5, -1, 0.1], [0, 5, 1, 0.3], [0, 5, -1, 0.1]], dtype=np.float32)
    assert most_varying_units(values, 2) == [2, 3]
    assert most_varying_units(values[:1], 2) == [1, 2], "of a single step the largest"


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("cell", [0.1, 0.2], "tanh"),
        ("hidden", [0.1, 0.2], "signed"),
        ("hidden", [0.1, 3.0], "tanh"),
        ("forget", [0.1, 0.2], "gate"),
        ("candidate", [0.1, 0.2], "signed"),
        ("ones own", [-0.1, 0.2], "signed"),
    ],
)
def test_a_scale_for_each_kind(name: str, values: list[float], scale: str) -> None:
    assert color_scale(name, np.array([values], dtype=np.float32)) == scale
