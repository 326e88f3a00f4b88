"""Scatter plots of words or phrases."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

SIZE, LABELS_PER_SIZE = 7.0, 60
"""Side of the figure in inches, and the number of labels above which it grows."""
MAX_SIZE = 24.0
"""Maximum side in inches."""


def draw_scatter(
    labels: Sequence[str],
    points: NDArray[np.float32],
    explained_variance_ratio: tuple[float, float],
    *,
    title: str = "",
) -> Figure:
    """Draws a labelled point for each word or phrase, with equal scales on both axes.

    Args:
        labels: N words or phrases.
        points: (N, 2), coordinates on the first two principal components.
        explained_variance_ratio: fraction of the total variance explained by each component.
        title: title of the plot.

    Raises:
        ValueError: if the numbers of labels and points differ.
    """
    if points.shape != (len(labels), 2):
        raise ValueError(f"{len(labels)} labels need points of shape ({len(labels)}, 2), got {points.shape}")
    side = min(SIZE * max(1.0, (len(labels) / LABELS_PER_SIZE) ** 0.5), MAX_SIZE)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.scatter(points[:, 0], points[:, 1], s=10, color="tab:blue")
    for label, point in zip(labels, points, strict=True):
        axis.annotate(label, point, (3, 2), textcoords="offset points", fontsize=8, parse_math=False)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(x=0.15)
    axis.set_xlabel(f"first principal component ({explained_variance_ratio[0]:.0%} of the variance)")
    axis.set_ylabel(f"second principal component ({explained_variance_ratio[1]:.0%} of the variance)")
    axis.grid(alpha=0.3)
    if title:
        axis.set_title(title, loc="left", parse_math=False)
    return figure
