"""Heatmaps of single units over the tokens of a text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

SYMBOLS_PER_LINE = 60
LINE_HEIGHT, LINE_WIDTH, MARGIN = 0.28, 0.19, 1.2
"""Height of a row, width of a column and total margin, in inches."""
MAX_HORIZONTAL_LABEL = 3
"""Maximum number of characters of horizontal labels; if a label is longer, all labels are vertical."""


class Scale(NamedTuple):
    """A colour scale."""

    low: float
    """Value of the first colour."""
    high: float | None
    """Value of the last colour; None for the largest value."""
    squash: bool = False
    """Whether tanh is applied to the values, for unbounded cell states."""
    colours: str = "RdBu_r"
    """Name of the matplotlib colormap."""


SCALES = {
    "tanh": Scale(-1, 1, squash=True),
    "signed": Scale(-1, 1),
    "gate": Scale(0, 1),
    "weight": Scale(0, None, colours="Blues"),
}
"""Scales of cell states, hidden states, gates and attention weights, by name."""


class Panel(NamedTuple):
    """A heatmap of a state or gate: a row for each of U units, a column for each of T tokens."""

    title: str
    """Title of the panel."""
    values: NDArray[np.float32]
    """(T, U)."""
    names: Sequence[str]
    """Names of the U units."""
    scale: str
    """Colour scale, a key of SCALES."""


def draw_panels(
    symbols: Sequence[str], panels: Sequence[Panel], *, title: str = "", symbols_per_line: int = SYMBOLS_PER_LINE
) -> Figure:
    """Draws heatmaps below each other, wrapped into several lines if there are many tokens.

    Args:
        symbols: T tokens.
        panels: the heatmaps, one or more, from the top.
        title: title of the figure.
        symbols_per_line: maximum number of tokens in a line.

    Raises:
        ValueError: if the shape of a panel's values doesn't match, or its scale is unknown.
    """
    for panel in panels:
        _check(symbols, panel)
    lines = -(-len(symbols) // symbols_per_line)
    heights = [lines * (len(panel.names) + 2) * LINE_HEIGHT + MARGIN for panel in panels]
    width = min(symbols_per_line, len(symbols)) * LINE_WIDTH + 2 * MARGIN
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    subfigures = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for subfigure, panel in zip(subfigures, panels, strict=True):
        _draw(subfigure, symbols, panel, symbols_per_line)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _check(symbols: Sequence[str], panel: Panel) -> None:
    if panel.values.shape != (len(symbols), len(panel.names)) or not panel.values.size:
        raise ValueError(
            f"{len(symbols)} symbols and {len(panel.names)} units don't match values of shape {panel.values.shape}"
        )
    if panel.scale not in SCALES:
        raise ValueError(f"there is no scale {panel.scale!r}; there are {', '.join(SCALES)}")


def _draw(subfigure: FigureBase, symbols: Sequence[str], panel: Panel, symbols_per_line: int) -> None:
    low, high, squash, colours = SCALES[panel.scale]
    starts = range(0, len(symbols), symbols_per_line)
    axes = subfigure.subplots(len(starts), 1, squeeze=False)[:, 0]
    coloured = np.tanh(panel.values) if squash else panel.values
    limits = {"vmin": low, "vmax": max(float(coloured.max()), 1e-12) if high is None else high}
    for start, axis in zip(starts, axes, strict=True):
        line = slice(start, start + symbols_per_line)
        image = axis.imshow(coloured[line].T, cmap=colours, aspect="auto", **limits)
        _label(axis, symbols[line], panel.names, min(symbols_per_line, len(symbols)))
    subfigure.colorbar(image, ax=list(axes), label="tanh of the value" if squash else "value")
    axes[0].set_title(panel.title, loc="left", fontsize="medium", parse_math=False)


def _label(axis: Axes, symbols: Sequence[str], names: Sequence[str], columns: int) -> None:
    """Labels tokens and units; `columns` is the width of every line, also of the last."""
    vertical = max(map(len, symbols)) > MAX_HORIZONTAL_LABEL
    axis.set_xticks(range(len(symbols)), [_shown(symbol) for symbol in symbols], rotation=90 if vertical else 0)
    axis.set_yticks(range(len(names)), list(names))
    axis.set_xlim(-0.5, columns - 0.5)
    axis.tick_params(length=0, labelsize=8)


def _shown(symbol: str) -> str:
    """Replaces whitespace by visible characters, and escapes the $ of matplotlib's math mode."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(symbol, symbol).replace("$", r"\$")
