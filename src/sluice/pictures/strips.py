"""Coloured strips: what single units do at every symbol of a text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sluice.errors import UserError

SYMBOLS_A_LINE = 60
LINE_HEIGHT, LINE_WIDTH, MARGIN = 0.28, 0.19, 1.2
"""Inches: of a strip, of a symbol, around all."""
LONGEST_LABEL = 3
"""Letters; where a symbol has more, all are written upright."""


class Scale(NamedTuple):
    """From which value to which the colours go."""

    low: float
    high: float
    squash: bool = False
    """tanh first: for cell states, which have no bounds."""


SCALES = {"tanh": Scale(-1, 1, squash=True), "signed": Scale(-1, 1), "gate": Scale(0, 1)}
"""By name: of cell states, of hidden states, of gates."""


def chosen_units(values: NDArray[np.float32], units: Sequence[int]) -> NDArray[np.float32]:
    """(T, H) -> (T, chosen).

    Raises:
        UserError: for a unit that isn't there.
    """
    strange = next((unit for unit in units if not 0 <= unit < values.shape[1]), None)
    if strange is not None:
        raise UserError(f"there is no unit {strange}: choose from 0 to {values.shape[1] - 1}")
    return values[:, list(units)]


def draw_strips(
    symbols: Sequence[str],
    values: NDArray[np.float32],
    *,
    names: Sequence[str],
    scale: str = "tanh",
    title: str = "",
    symbols_a_line: int = SYMBOLS_A_LINE,
) -> Figure:
    """A strip for each unit over the symbols; a long text goes on in further lines.

    Args:
        symbols: T words or letters.
        values: (T, U).
        names: of the U units.
        scale: "tanh", "signed" or "gate", see SCALES.
        title: above all.
        symbols_a_line: places of a line.

    Raises:
        ValueError: if the shape of the values doesn't fit, or for a scale that doesn't exist.
    """
    if values.shape != (len(symbols), len(names)) or not values.size:
        raise ValueError(f"{len(symbols)} symbols and {len(names)} units need as many values, got {values.shape}")
    if scale not in SCALES:
        raise ValueError(f"there is no scale {scale!r}; there are {', '.join(SCALES)}")
    low, high, squash = SCALES[scale]
    starts = range(0, len(symbols), symbols_a_line)
    places = min(symbols_a_line, len(symbols))
    height = len(starts) * (len(names) + 2) * LINE_HEIGHT + MARGIN
    figure = Figure(figsize=(places * LINE_WIDTH + 2 * MARGIN, height), layout="constrained")
    axes = figure.subplots(len(starts), 1, squeeze=False)[:, 0]
    coloured = np.tanh(values) if squash else values
    for start, axis in zip(starts, axes, strict=True):
        line = slice(start, start + symbols_a_line)
        image = axis.imshow(coloured[line].T, cmap="RdBu_r", vmin=low, vmax=high, aspect="auto")
        _label(axis, symbols[line], names, places)
    figure.colorbar(image, ax=list(axes), label="tanh of the value" if squash else "value")
    if title:
        figure.suptitle(title)
    return figure


def _label(axis: Axes, symbols: Sequence[str], names: Sequence[str], places: int) -> None:
    """Symbols below, units at the side; every line is as wide as the others."""
    upright = max(map(len, symbols)) > LONGEST_LABEL
    axis.set_xticks(range(len(symbols)), [_shown(symbol) for symbol in symbols], rotation=90 if upright else 0)
    axis.set_yticks(range(len(names)), list(names))
    axis.set_xlim(-0.5, places - 0.5)
    axis.tick_params(length=0, labelsize=8)


def _shown(symbol: str) -> str:
    """A symbol that can be seen, and that matplotlib doesn't take for a formula."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(symbol, symbol).replace("$", r"\$")
