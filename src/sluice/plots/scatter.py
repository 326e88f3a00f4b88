"""Words or phrases as points of a plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

SIZE, LABELS_PER_SIZE = 7.0, 60
"""Inches of a side with so many labels; more make it larger."""
LARGEST = 24.0


def draw_scatter(
    labels: Sequence[str], points: NDArray[np.float32], variance: tuple[float, float], *, title: str = ""
) -> Figure:
    """A labelled point for each word or phrase; both axes have the same scale.

    Args:
        labels: N words.
        points: (N, 2), coordinates on the first two principal components.
        variance: fraction of all variance on each of the two.
        title: above the plot.

    Raises:
        ValueError: if there are not as many labels as points.
    """
    if points.shape != (len(labels), 2):
        raise ValueError(f"{len(labels)} labels need as many points of a plane, got {points.shape}")
    side = min(SIZE * max(1.0, (len(labels) / LABELS_PER_SIZE) ** 0.5), LARGEST)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.scatter(points[:, 0], points[:, 1], s=10, color="tab:blue")
    for label, point in zip(labels, points, strict=True):
        axis.annotate(label, point, (3, 2), textcoords="offset points", fontsize=8, parse_math=False)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(x=0.15)
    axis.set_xlabel(f"first principal component ({variance[0]:.0%} of the variance)")
    axis.set_ylabel(f"second principal component ({variance[1]:.0%} of the variance)")
    axis.grid(alpha=0.3)
    if title:
        axis.set_title(title, loc="left", parse_math=False)
    return figure
