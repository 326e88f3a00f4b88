"""Scatter plots of words or phrases."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

SIZE, LABELS_PER_SIZE, CHARACTERS_PER_SIZE = 7.0, 60, 500
"""Side of the figure in inches, and the number of labels and of their characters above which it grows."""
MAX_SIZE = 24.0
"""Maximum side in inches."""
POINT_RADIUS = 2.5
"""Radius of a point in typographic points, which labels of other points don't cover."""
PADDING = 1.0
"""Space before and after a label, in typographic points."""
RINGS, NEAR = 100, 4
"""Number of distances at which a free position for a label is searched, and from which on a line leads to its point."""

Boxes = NDArray[np.float64]
"""(N, 4), boxes as left, bottom, right and top in pixels."""


def draw_scatter(
    labels: Sequence[str],
    points: NDArray[np.float32],
    explained_variance_ratio: tuple[float, float],
    *,
    title: str = "",
) -> Figure:
    """Draws a labelled point for each word or phrase, with equal scales on both axes.

    Labels overlap neither each other nor the points of others, and are inside the axes, as far as there is room; a line
    connects a label with its point if it is not next to it.

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
    characters = sum(map(len, labels))
    side = min(SIZE * max(1.0, len(labels) / LABELS_PER_SIZE, characters / CHARACTERS_PER_SIZE) ** 0.5, MAX_SIZE)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.scatter(points[:, 0], points[:, 1], s=10, color="tab:blue")
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.08)
    axis.set_xlabel(f"first principal component ({explained_variance_ratio[0]:.0%} of the variance)")
    axis.set_ylabel(f"second principal component ({explained_variance_ratio[1]:.0%} of the variance)")
    axis.grid(alpha=0.3)
    if title:
        axis.set_title(title, loc="left", parse_math=False)
    _add_labels(axis, labels, points)
    return figure


def _add_labels(axis: Axes, labels: Sequence[str], points: NDArray[np.float32]) -> None:
    """Adds a label next to each point, the points with the most neighbours last."""
    figure = axis.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # fixes the layout, and with it the positions of the points in pixels
    pixel = figure.dpi / 72
    at = axis.transData.transform(points)
    frame = np.asarray(axis.get_window_extent(renderer).extents)
    taken = np.concatenate([at - POINT_RADIUS * pixel, at + POINT_RADIUS * pixel], 1)
    distances = np.linalg.norm(at[:, None] - at[None], axis=-1)
    for index in np.argsort((distances < 30 * pixel).sum(1), kind="stable"):
        text = axis.annotate(
            labels[index], points[index], (0, 0), textcoords="offset points", fontsize=8, parse_math=False, va="bottom"
        )
        text.set_in_layout(False)
        extent = text.get_window_extent(renderer)
        ring, box = _free_box(at[index], extent.width + 2 * PADDING * pixel, extent.height, taken, frame, pixel)
        text.set_position(tuple((box[:2] - at[index]) / pixel + (PADDING, 0)))
        if ring >= NEAR:
            nearest = np.clip(at[index], box[:2], box[2:])
            ends = axis.transData.inverted().transform([at[index], nearest])
            axis.plot(ends[:, 0], ends[:, 1], color="0.6", linewidth=0.5, zorder=0.5, scalex=False, scaley=False)
        taken = np.concatenate([taken, box[None]])


def _free_box(point: Boxes, width: float, height: float, taken: Boxes, frame: Boxes, pixel: float) -> tuple[int, Boxes]:
    """The nearest box of a size around a point that is inside the frame and overlaps none of those taken.

    Returns:
        The number of its ring and the box; if all overlap, the one nearest to the point.
    """
    for ring, box in _candidates(point, width, height, pixel):
        inside = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
        if inside and not ((box[:2] < taken[:, 2:]) & (box[2:] > taken[:, :2])).all(1).any():
            return ring, box
    return next(_candidates(point, width, height, pixel))


def _candidates(point: Boxes, width: float, height: float, pixel: float) -> Iterator[tuple[int, Boxes]]:
    """Boxes around a point in all directions, from near to far."""
    for ring in range(1, RINGS):
        gap = ring * 3 * pixel
        for angle in np.deg2rad([30, -30, 150, -150, 0, 180, 90, -90, 60, -60, 120, -120]):
            direction = np.asarray([np.cos(angle), np.sin(angle)]).round(6)
            size = np.asarray([width, height])
            corner = point + gap * direction + size * (np.sign(direction) - 1) / 2
            yield ring, np.concatenate([corner, corner + size])
