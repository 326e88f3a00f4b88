"""What goes on in a recurrent core while it reads one text."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.recurrent import CellTrace, OneHot, RecurrentStack, StackTrace

DEFAULT_UNITS = 8
"""Units chosen where none were asked for."""


class HiddenStates(NamedTuple):
    """One layer and direction at every step of a text, and what the core gives on."""

    states: dict[str, Tensor]
    """By part ("hidden", "cell"), (T, H)."""
    gates: dict[str, Tensor]
    """By name, (T, H)."""
    outputs: Tensor
    """(T, directions · H) of the whole core."""
    top: Tensor
    """(T, directions · H), the top layer's hidden state: the outputs but for residual connections."""


@torch.no_grad()
def record_hidden_states(
    stack: RecurrentStack,
    inputs: Tensor | OneHot,
    *,
    layer: int | None = None,
    backward: bool = False,
    segment_length: int | None = None,
) -> HiddenStates:
    """Runs one text through the core and keeps what it does on the way.

    Args:
        stack: the core, in evaluation mode.
        inputs: (1, T, D) features, or a OneHot of (1, T).
        layer: from 1, the lowest, on; None for the top one.
        backward: the direction that reads from the end; its step t is its state after it has read from there to t.
        segment_length: steps after which the core begins anew; None for never.

    Raises:
        ValueError: for a layer or a direction that isn't there.
    """
    if layer is not None and not 1 <= layer <= stack.num_layers:
        raise ValueError(f"there is no layer {layer}: choose from 1 to {stack.num_layers}")
    if backward and stack.directions == 1:
        raise ValueError("there is no backward direction: this model reads in one, leave --backward out")
    trace = _joined([_traced(stack, piece) for piece in _pieces(inputs, segment_length)])
    own = trace.cells[((layer or stack.num_layers) - 1) * stack.directions + backward]
    states = {name: part[0] for name, part in own.states._asdict().items()}
    top = torch.cat([cell.states.hidden for cell in trace.cells[-stack.directions :]], -1)
    return HiddenStates(states, {name: gate[0] for name, gate in own.gates.items()}, trace.outputs[0], top[0])


def _pieces(inputs: Tensor | OneHot, size: int | None) -> list[Tensor | OneHot]:
    """The steps cut into runs from a fresh state."""
    if size is None:
        return [inputs]
    if isinstance(inputs, Tensor):
        return list(inputs.split(size, 1))
    return [inputs.map(lambda part, at=start: part[:, at : at + size]) for start in range(0, inputs.ids.shape[1], size)]  # type: ignore[misc]


def _traced(stack: RecurrentStack, inputs: Tensor | OneHot) -> StackTrace:
    steps = (inputs if isinstance(inputs, Tensor) else inputs.ids).shape[1]
    return stack.trace(inputs, torch.tensor([steps]))


def _joined(traces: list[StackTrace]) -> StackTrace:
    """Runs that follow one another, as one."""
    cells = []
    for parts in zip(*(trace.cells for trace in traces), strict=True):
        states = type(parts[0].states)(
            *(torch.cat(same, 1) for same in zip(*(part.states for part in parts), strict=True))
        )
        cells.append(
            CellTrace(states, {name: torch.cat([part.gates[name] for part in parts], 1) for name in parts[0].gates})
        )
    return StackTrace(torch.cat([trace.outputs for trace in traces], 1), traces[-1].state, cells)


def most_varying_units(values: NDArray[np.float32], most: int = DEFAULT_UNITS) -> list[int]:
    """The units that change most over the steps of (T, H) values, the most changing first; of one step, the largest."""
    change = values.var(0) if len(values) > 1 else np.abs(values[0])
    return [int(unit) for unit in np.argsort(-change, kind="stable")[:most]]


def color_scale(name: str, values: NDArray[np.float32]) -> str:
    """From which value to which the colours of a part go, see sluice.plots.heatmaps.SCALES."""
    if name == "cell" or np.abs(values).max() > 1:
        return "tanh"
    return "signed" if name in ("hidden", "new", "candidate") or values.min() < 0 else "gate"


def display_name(name: str) -> str:
    """What a part is called for people."""
    kinds = {"hidden": "hidden state", "cell": "cell state", "new": "new state", "candidate": "candidate"}
    return kinds.get(name, f"{name} gate")
