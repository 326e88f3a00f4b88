"""Coloured strips: what single units do at every symbol of a text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

SYMBOLS_PER_LINE = 60
LINE_HEIGHT, LINE_WIDTH, MARGIN = 0.28, 0.19, 1.2
"""Inches: of a strip, of a symbol, around all."""
MAX_HORIZONTAL_LABEL = 3
"""Letters; where a symbol has more, all are written upright."""


class Scale(NamedTuple):
    """From which value to which the colours go."""

    low: float
    high: float | None
    """None for the largest value there is."""
    squash: bool = False
    """tanh first: for cell states, which have no bounds."""
    colours: str = "RdBu_r"


SCALES = {
    "tanh": Scale(-1, 1, squash=True),
    "signed": Scale(-1, 1),
    "gate": Scale(0, 1),
    "weight": Scale(0, None, colours="Blues"),
}
"""By name: of cell states, of hidden states, of gates, of weights that make up a whole."""


class Panel(NamedTuple):
    """Strips of one kind: a state or a gate of some units."""

    title: str
    values: NDArray[np.float32]
    """(T, U)."""
    names: Sequence[str]
    """Of the U units."""
    scale: str
    """See SCALES."""


def draw_panels(
    symbols: Sequence[str], panels: Sequence[Panel], *, title: str = "", symbols_per_line: int = SYMBOLS_PER_LINE
) -> Figure:
    """A strip for each unit over the symbols, each kind with colours of its own; a long text goes on in further lines.

    Args:
        symbols: T words or letters.
        panels: from the top, one or more.
        title: above all.
        symbols_per_line: places of a line.

    Raises:
        ValueError: if the shape of the values doesn't fit, or for a scale that doesn't exist.
    """
    for panel in panels:
        _check(symbols, panel)
    lines = -(-len(symbols) // symbols_per_line)
    heights = [lines * (len(panel.names) + 2) * LINE_HEIGHT + MARGIN for panel in panels]
    width = min(symbols_per_line, len(symbols)) * LINE_WIDTH + 2 * MARGIN
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    holders = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for holder, panel in zip(holders, panels, strict=True):
        _draw(holder, symbols, panel, symbols_per_line)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _check(symbols: Sequence[str], panel: Panel) -> None:
    if panel.values.shape != (len(symbols), len(panel.names)) or not panel.values.size:
        raise ValueError(
            f"{len(symbols)} symbols and {len(panel.names)} units need as many values, got {panel.values.shape}"
        )
    if panel.scale not in SCALES:
        raise ValueError(f"there is no scale {panel.scale!r}; there are {', '.join(SCALES)}")


def _draw(holder: FigureBase, symbols: Sequence[str], panel: Panel, symbols_per_line: int) -> None:
    low, high, squash, colours = SCALES[panel.scale]
    starts = range(0, len(symbols), symbols_per_line)
    axes = holder.subplots(len(starts), 1, squeeze=False)[:, 0]
    coloured = np.tanh(panel.values) if squash else panel.values
    limits = {"vmin": low, "vmax": max(float(coloured.max()), 1e-12) if high is None else high}
    for start, axis in zip(starts, axes, strict=True):
        line = slice(start, start + symbols_per_line)
        image = axis.imshow(coloured[line].T, cmap=colours, aspect="auto", **limits)
        _label(axis, symbols[line], panel.names, min(symbols_per_line, len(symbols)))
    holder.colorbar(image, ax=list(axes), label="tanh of the value" if squash else "value")
    axes[0].set_title(panel.title, loc="left", fontsize="medium", parse_math=False)


def _label(axis: Axes, symbols: Sequence[str], names: Sequence[str], places: int) -> None:
    """Symbols below, units at the side; every line is as wide as the others."""
    upright = max(map(len, symbols)) > MAX_HORIZONTAL_LABEL
    axis.set_xticks(range(len(symbols)), [_shown(symbol) for symbol in symbols], rotation=90 if upright else 0)
    axis.set_yticks(range(len(names)), list(names))
    axis.set_xlim(-0.5, places - 0.5)
    axis.tick_params(length=0, labelsize=8)


def _shown(symbol: str) -> str:
    """A symbol that can be seen, and that matplotlib doesn't take for a formula."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(symbol, symbol).replace("$", r"\$")
