"""Which words looked at which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

CELL, MARGIN = 0.32, 1.6
"""Inches: of a cell, around all."""


def draw_attention(
    weights: NDArray[np.float32],
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str = "",
    most: float = 0,
) -> Figure:
    """A heat map of weights.

    Args:
        weights: (L, S), each row's sum is 1 as a rule.
        row_labels: L words, down the side.
        column_labels: S words, along the top.
        title: above all.
        most: the weight of the darkest colour; 0 is the largest there is.

    Raises:
        ValueError: if the shape of the weights doesn't fit the words.
    """
    if weights.shape != (len(row_labels), len(column_labels)) or not weights.size:
        raise ValueError(f"{len(row_labels)} by {len(column_labels)} words need as many weights, got {weights.shape}")
    size = (len(column_labels) * CELL + MARGIN, len(row_labels) * CELL + MARGIN)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=most or max(float(weights.max()), 1e-12), aspect="auto")
    axis.set_xticks(range(len(column_labels)), column_labels, rotation=60, ha="left", parse_math=False)
    axis.set_yticks(range(len(row_labels)), row_labels, parse_math=False)
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=8)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure
