"""Heatmaps of attention weights."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

CELL, MARGIN = 0.32, 1.8
"""Size of a cell and total margin, in inches."""


def draw_attention(
    weights: NDArray[np.float32],
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str = "",
    vmax: float = 0,
) -> Figure:
    """Draws attention weights as a heatmap.

    Args:
        weights: (L, S), usually with rows that sum to 1.
        row_labels: L target tokens, on the left.
        column_labels: S source tokens, on top.
        title: title of the figure.
        vmax: weight of the darkest colour; 0 for the largest weight.

    Raises:
        ValueError: if the shape of the weights doesn't match the labels, or there are none.

    Example:
        >>> import numpy as np
        >>> from sluice.plots import draw_attention
        >>> weights = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
        >>> figure = draw_attention(weights, row_labels=["the", "sea"], column_labels=["das", "Meer"])
        >>> figure.savefig("attention.png")  # doctest: +SKIP
    """
    if weights.shape != (len(row_labels), len(column_labels)) or not weights.size:
        raise ValueError(
            f"{len(row_labels)} row and {len(column_labels)} column labels don't match weights of shape {weights.shape}"
        )
    size = (len(column_labels) * CELL + MARGIN + 0.8, len(row_labels) * CELL + MARGIN)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    limit = vmax or max(float(weights.max()), 1e-12)
    image = axis.imshow(weights, cmap="Blues", vmin=0, vmax=limit, aspect="auto")
    figure.colorbar(image, label="attention weight", aspect=30)
    axis.set_yticks(range(len(row_labels)), row_labels, parse_math=False)
    axis.set_xticks(range(len(column_labels)), column_labels, parse_math=False)
    _turn_labels(axis)
    axis.set(xlabel="source", ylabel="target")
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _turn_labels(axis: Axes) -> None:
    """Puts the labels of the columns on top, turned, each beginning at its column."""
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.tick_params(length=0, labelsize=8)
    for label in axis.get_xticklabels():
        label.set(rotation=60, ha="left", rotation_mode="anchor")
