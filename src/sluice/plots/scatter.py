"""Scatter plots of words or phrases."""

from collections.abc import Sequence

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
MIN_RINGS, MAX_RINGS, RINGS_OF_ALL = 15, 100, 20_000
"""Numbers of distances at which a free position for a label is searched, and their sum over all labels."""
NEAR = 4
"""Number of the distance from which on a line leads from the label to its point."""
ANGLES = np.deg2rad([30, -30, 150, -150, 0, 180, 90, -90, 60, -60, 120, -120])
"""Directions in which a free position is searched, in the order of preference."""

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

    Labels overlap neither each other nor points, and are inside the axes; a line connects a label with its point if it
    is not next to it. Labels for which there is no room are omitted, and counted in a corner.

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
    directions = _directions(max(MIN_RINGS, min(MAX_RINGS, RINGS_OF_ALL // len(labels)))) * 3 * pixel
    omitted = 0
    for index in np.argsort((distances < 30 * pixel).sum(1), kind="stable"):
        text = axis.annotate(
            labels[index], points[index], (0, 0), textcoords="offset points", fontsize=8, parse_math=False, va="bottom"
        )
        text.set_in_layout(False)
        extent = text.get_window_extent(renderer)
        size = np.asarray([extent.width + 2 * PADDING * pixel, extent.height])
        found = _free_box(at[index], size, directions, taken, frame)
        if found is None:
            text.remove()
            omitted += 1
            continue
        number, box = found
        text.set_position(tuple((box[:2] - at[index]) / pixel + (PADDING, 0)))
        if number >= (NEAR - 1) * len(ANGLES):
            nearest = np.clip(at[index], box[:2], box[2:])
            ends = axis.transData.inverted().transform([at[index], nearest])
            axis.plot(ends[:, 0], ends[:, 1], color="0.6", linewidth=0.5, zorder=0.5, scalex=False, scaley=False)
        taken = np.concatenate([taken, box[None]])
    if omitted:
        note = f"{omitted} of {len(labels)} labels are omitted: there is no room"
        axis.annotate(note, (0.01, 0.01), xycoords="axes fraction", backgroundcolor="white", zorder=9).set_in_layout(
            False
        )


def _directions(rings: int) -> Boxes:
    """(rings · angles, 2) offsets from a point, from near to far; the first ring has length 1."""
    circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1).round(6)
    offsets: Boxes = (np.arange(1, rings + 1)[:, None, None] * circle).reshape(-1, 2)
    return offsets


def _free_box(point: Boxes, size: Boxes, directions: Boxes, taken: Boxes, frame: Boxes) -> tuple[int, Boxes] | None:
    """The first box of a size in the directions from a point that is inside the frame and overlaps none of those taken.

    Returns:
        The index of its direction and the box; None if there is none.
    """
    corners = point + directions + size * (np.sign(directions) - 1) / 2
    boxes = np.concatenate([corners, corners + size], 1)
    candidates = np.flatnonzero(((boxes[:, :2] >= frame[:2]) & (boxes[:, 2:] <= frame[2:])).all(1))
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    near = taken[((taken[:, :2] < high) & (taken[:, 2:] > low)).all(1)]
    for some in np.array_split(candidates, max(1, len(candidates) // 48)):  # few suffice for most
        inside = boxes[some, None]
        free = ~((inside[..., :2] < near[:, 2:]) & (inside[..., 2:] > near[:, :2])).all(2).any(1)
        if free.any():
            index = int(some[free.argmax()])
            return index, boxes[index]
    return None
