"""Hidden states, cell states and gates of a recurrent core at every step of a sequence."""

from typing import NamedTuple

import torch
from torch import Tensor

from sluice.recurrent import CellTrace, OneHot, RecurrentStack, StackTrace


class HiddenStates(NamedTuple):
    """States and gates of one layer and direction at T steps, and the outputs of the core."""

    states: dict[str, Tensor]
    """(T, H) states, by name: "hidden", and "cell" for an LSTM."""
    gates: dict[str, Tensor]
    """(T, H) gate activations, by name."""
    outputs: Tensor
    """(T, directions · H) outputs of the core."""
    top: Tensor
    """(T, directions · H) hidden states of the top layer; they differ from the outputs in residual stacks only."""


@torch.no_grad()
def record_hidden_states(
    stack: RecurrentStack,
    inputs: Tensor | OneHot,
    *,
    layer: int | None = None,
    backward: bool = False,
    segment_length: int | None = None,
) -> HiddenStates:
    """Runs one sequence through a recurrent core and records states and gates.

    Args:
        stack: the core, in evaluation mode.
        inputs: (1, T, D) features, or a OneHot of (1, T).
        layer: layer number, 1 is the lowest; None for the top layer.
        backward: record the backward direction; its state at step t is computed from steps t to T − 1.
        segment_length: number of steps after which the state is reset to the initial state; None for no reset.

    Raises:
        ValueError: if the layer or direction doesn't exist.

    Example:
        >>> import torch
        >>> from sluice.inference.hidden_states import record_hidden_states
        >>> from sluice.recurrent import RecurrentStack
        >>> stack = RecurrentStack(cell="lstm", input_size=3, hidden_size=4).eval()
        >>> hidden = record_hidden_states(stack, torch.randn(1, 7, 3))
        >>> hidden.states["cell"].shape, list(hidden.gates)
        (torch.Size([7, 4]), ['input', 'forget', 'candidate', 'output'])
    """
    if layer is not None and not 1 <= layer <= stack.num_layers:
        raise ValueError(f"there is no layer {layer}: choose from 1 to {stack.num_layers}")
    if backward and stack.directions == 1:
        raise ValueError("there is no backward direction: this model is unidirectional, omit it")
    trace = _concatenate([_trace(stack, segment) for segment in _segments(inputs, segment_length)])
    cell = trace.cells[((layer or stack.num_layers) - 1) * stack.directions + backward]
    states = {name: part[0] for name, part in cell.states._asdict().items()}
    gates = {name: gate[0] for name, gate in cell.gates.items()}
    top = torch.cat([cell.states.hidden for cell in trace.cells[-stack.directions :]], -1)
    return HiddenStates(states, gates, trace.outputs[0], top[0])


def _segments(inputs: Tensor | OneHot, size: int | None) -> list[Tensor | OneHot]:
    """The inputs, split into segments of `size` steps."""
    if size is None:
        return [inputs]
    if isinstance(inputs, Tensor):
        return list(inputs.split(size, 1))
    return [inputs.map(lambda part, at=start: part[:, at : at + size]) for start in range(0, inputs.ids.shape[1], size)]  # type: ignore[misc]


def _trace(stack: RecurrentStack, inputs: Tensor | OneHot) -> StackTrace:
    steps = (inputs if isinstance(inputs, Tensor) else inputs.ids).shape[1]
    return stack.trace(inputs, torch.tensor([steps]))


def _concatenate(traces: list[StackTrace]) -> StackTrace:
    """Concatenates the traces of consecutive segments along time."""
    cells = []
    for parts in zip(*(trace.cells for trace in traces), strict=True):
        states = type(parts[0].states)(
            *(torch.cat(same, 1) for same in zip(*(part.states for part in parts), strict=True))
        )
        cells.append(
            CellTrace(states, {name: torch.cat([part.gates[name] for part in parts], 1) for name in parts[0].gates})
        )
    return StackTrace(torch.cat([trace.outputs for trace in traces], 1), traces[-1].state, cells)
