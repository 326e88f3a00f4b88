"""Which words looked at which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

CELL, MARGIN = 0.32, 1.6
"""Inches: of a cell, around all."""


def draw_attention(
    weights: NDArray[np.float32], *, looking: Sequence[str], looked_at: Sequence[str], title: str = "", most: float = 0
) -> Figure:
    """A heat map of weights.

    Args:
        weights: (L, S), each row's sum is 1 as a rule.
        looking: L words, down the side.
        looked_at: S words, along the top.
        title: above all.
        most: the weight of the darkest colour; 0 is the largest there is.

    Raises:
        ValueError: if the shape of the weights doesn't fit the words.
    """
    if weights.shape != (len(looking), len(looked_at)) or not weights.size:
        raise ValueError(f"{len(looking)} by {len(looked_at)} words need as many weights, got {weights.shape}")
    size = (len(looked_at) * CELL + MARGIN, len(looking) * CELL + MARGIN)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=most or max(float(weights.max()), 1e-12), aspect="auto")
    axis.set_xticks(range(len(looked_at)), looked_at, rotation=60, ha="left", parse_math=False)
    axis.set_yticks(range(len(looking)), looking, parse_math=False)
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=8)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure
