"""Heatmaps of single units over the tokens of a text."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

SYMBOLS_PER_LINE = 60
LINE_HEIGHT, LINE_WIDTH, MARGIN = 0.28, 0.19, 1.2
"""Height of a row, width of a column and total margin, in inches."""
BAR = 0.15
"""Width of a colour bar, in inches."""
LETTER = 0.075
"""Width of a letter of a label, in inches."""
MIN_WIDTH, MAX_WIDTH = 3.6, 12.0
"""Minimum width of a panel, and width of the figure up to which panels stand side by side, in inches."""
MAX_HORIZONTAL_LABEL = 3
"""Maximum number of characters of horizontal labels; if a label is longer, all labels are vertical."""
MARKED_COLOUR = "tab:red"


class Scale(NamedTuple):
    """A colour scale."""

    low: float | None
    """Value of the first colour; None for minus the value of the last one."""
    high: float | None
    """Value of the last colour; None for the largest absolute value."""
    colours: str = "RdBu_r"
    """Name of the matplotlib colormap."""
    quantity: str = "value"
    """Label of the colour bar."""


SCALES = {
    "signed": Scale(None, None),
    "gate": Scale(0, 1),
    "weight": Scale(0, None, "Blues", "weight"),
    "probability": Scale(0, 1, "Greens", "probability"),
}
"""Scales of states, gates, attention weights and probabilities, by name; no value is beyond the last colour."""


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
    labels: Sequence[str] | None = None
    """Labels of the T columns, such as predictions; None for the tokens."""


def draw_panels(
    symbols: Sequence[str],
    panels: Sequence[Panel],
    *,
    title: str = "",
    caption: str = "",
    marked: Collection[int] = (),
    symbols_per_line: int = SYMBOLS_PER_LINE,
) -> Figure:
    """Draws heatmaps in a grid, wrapped into several lines if there are many tokens.

    Args:
        symbols: T tokens.
        panels: the heatmaps, one or more, from the top left.
        title: title of the figure.
        caption: text at the bottom of the figure.
        marked: positions of tokens that are emphasised.
        symbols_per_line: maximum number of tokens in a line.

    Raises:
        ValueError: if the shape of a panel's values doesn't match, or its scale is unknown.
    """
    for panel in panels:
        _check(symbols, panel)
    width = max(min(symbols_per_line, len(symbols)) * LINE_WIDTH + 2 * MARGIN, MIN_WIDTH)
    rows, lines = _rows(panels, int(MAX_WIDTH / width)), -(-len(symbols) // symbols_per_line)
    heights = [max(_height(symbols, panel, symbols_per_line) for panel in row) for row in rows]
    columns, units = max(map(len, rows)), [len(row[0].names) for row in rows]
    size = (columns * width, sum(heights) + 0.35 * (bool(title) + bool(caption)))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(rows) * lines, columns, height_ratios=np.repeat(units, lines))
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column, panel in enumerate(row):
            axes = [figure.add_subplot(grid[number * lines + line, column]) for line in range(lines)]
            image = _draw(axes, symbols, panel, symbols_per_line, marked)
            bar = figure.colorbar(image, ax=axes, fraction=2 * BAR / width, pad=0.02, aspect=height / BAR)
            bar.set_label(SCALES[panel.scale].quantity if len(panel.names) > 1 else "")
    figure.suptitle(title, parse_math=False)
    figure.supxlabel(caption, parse_math=False, fontsize="medium")
    return figure


def _check(symbols: Sequence[str], panel: Panel) -> None:
    if panel.values.shape != (len(symbols), len(panel.names)) or not panel.values.size:
        raise ValueError(
            f"{len(symbols)} symbols and {len(panel.names)} units don't match values of shape {panel.values.shape}"
        )
    if panel.scale not in SCALES:
        raise ValueError(f"there is no scale {panel.scale!r}; there are {', '.join(SCALES)}")


def _rows(panels: Sequence[Panel], columns: int) -> list[list[Panel]]:
    """Puts neighbouring panels with the same number of units side by side, at most `columns`."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if rows and len(rows[-1]) < columns and len(rows[-1][0].names) == len(panel.names):
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


def _height(symbols: Sequence[str], panel: Panel, symbols_per_line: int) -> float:
    """Height of a panel in inches."""
    labels = panel.labels or symbols
    longest = max(map(len, labels))
    of_labels = longest * LETTER if longest > MAX_HORIZONTAL_LABEL else LINE_HEIGHT
    lines = -(-len(symbols) // symbols_per_line)
    return lines * (len(panel.names) * LINE_HEIGHT + of_labels + 0.1) + 0.5


def _draw(
    axes: Sequence[Axes], symbols: Sequence[str], panel: Panel, symbols_per_line: int, marked: Collection[int]
) -> AxesImage:
    """Draws a panel, a line on each of the axes; returns the image of the last line."""
    low, high = _limits(panel)
    labels, columns = panel.labels or symbols, min(symbols_per_line, len(symbols))
    vertical = max(map(len, labels)) > MAX_HORIZONTAL_LABEL
    for start, axis in zip(range(0, len(symbols), symbols_per_line), axes, strict=True):
        line = slice(start, start + symbols_per_line)
        image = axis.imshow(panel.values[line].T, cmap=SCALES[panel.scale].colours, aspect="auto", vmin=low, vmax=high)
        _label(axis, labels[line], panel.names, columns, vertical=vertical)
        for position in marked:
            if start <= position < start + len(symbols[line]):
                _mark(axis, position - start, emphasise_label=panel.labels is None)
    axes[0].set_title(panel.title, loc="left", fontsize="medium", parse_math=False)
    return image


def _limits(panel: Panel) -> tuple[float, float]:
    """Values of the first and last colour."""
    low, high = SCALES[panel.scale][:2]
    high = max(float(np.abs(panel.values).max()), 1e-12) if high is None else high
    return (-high if low is None else low), high


def _label(axis: Axes, labels: Sequence[str], names: Sequence[str], columns: int, *, vertical: bool) -> None:
    """Labels tokens and units; `columns` is the width of every line, also of the last."""
    axis.set_xticks(range(len(labels)), [_shown(label) for label in labels], rotation=90 if vertical else 0)
    axis.set_yticks(range(len(names)), list(names))
    axis.set_xlim(-0.5, columns - 0.5)
    axis.tick_params(length=0, labelsize=8)
    axis.spines[:].set_visible(False)


def _mark(axis: Axes, column: int, *, emphasise_label: bool) -> None:
    """Frames a column and prints its label bold and red."""
    for border in (column - 0.5, column + 0.5):
        axis.axvline(border, color=MARKED_COLOUR, linewidth=1.2)
    if emphasise_label:
        axis.get_xticklabels()[column].set(color=MARKED_COLOUR, weight="bold")


def _shown(symbol: str) -> str:
    """Replaces whitespace by visible characters, and escapes the $ of matplotlib's math mode."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(symbol, symbol).replace("$", r"\$")
