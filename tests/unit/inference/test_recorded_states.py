"""Hidden states and gates match the trace of the recurrent core, also when read in segments."""

import pytest
import torch
from torch import Tensor

from sluice.inference.hidden_states import record_hidden_states
from sluice.recurrent import OneHot, RecurrentStack

STEPS = 7


def make_stack(cell: str = "lstm", **options: object) -> RecurrentStack:
    torch.manual_seed(2)
    settings = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True, **options}
    return RecurrentStack(cell=cell, **settings).eval()  # type: ignore[arg-type]


def features() -> Tensor:
    return torch.randn(1, STEPS, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("layer", "backward", "index"), [(1, False, 0), (1, True, 1), (2, False, 2), (None, True, 3)])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_requested_layer_and_direction_are_returned(cell: str, layer: int | None, backward: bool, index: int) -> None:
    stack, trace = make_stack(cell), make_stack(cell).trace(features(), torch.tensor([STEPS]))
    hidden = record_hidden_states(stack, features(), layer=layer, backward=backward)
    own = trace.cells[index]
    assert list(hidden.states) == list(own.states._fields)
    for name, values in hidden.states.items():
        torch.testing.assert_close(values, getattr(own.states, name)[0])
    assert list(hidden.gates) == list(own.gates)
    for name, values in hidden.gates.items():
        torch.testing.assert_close(values, own.gates[name][0])
    torch.testing.assert_close(hidden.outputs, trace.outputs[0])
    torch.testing.assert_close(hidden.top, trace.outputs[0])


@pytest.mark.parametrize(("layer", "size"), [(1, 6), (2, 3), (None, 3)])
def test_layers_may_differ_in_size(layer: int | None, size: int) -> None:
    stack = make_stack(hidden_size=[6, 3])
    hidden = record_hidden_states(stack, features(), layer=layer, segment_length=4)
    assert {name: values.shape for name, values in hidden.states.items()} == dict.fromkeys(
        ("hidden", "cell"), (STEPS, size)
    )
    torch.testing.assert_close(hidden.top, hidden.outputs)


def test_residual_outputs_differ_from_top_hidden_state() -> None:
    hidden = record_hidden_states(make_stack(residual=True, bidirectional=False), features())
    torch.testing.assert_close(hidden.top, hidden.states["hidden"])
    assert not torch.allclose(hidden.outputs, hidden.top)


@pytest.mark.parametrize("one_hot", [False, True])
def test_segments_are_read_independently(one_hot: bool) -> None:
    stack = make_stack(one_hot=one_hot)
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
def test_missing_layer_is_refused(layer: int) -> None:
    with pytest.raises(ValueError, match=f"no layer {layer}: choose from 1 to 2"):
        record_hidden_states(make_stack(), features(), layer=layer)


def test_missing_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="no backward direction"):
        record_hidden_states(make_stack(bidirectional=False), features(), backward=True)
