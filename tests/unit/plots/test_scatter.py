"""Scatter plot of words: labelled points and axes."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sluice.plots.scatter import draw_scatter

POINTS = np.array([[0, 1], [2, -1], [0.5, 0.25]], dtype=np.float32)


def test_every_word_has_a_labelled_point() -> None:
    figure = draw_scatter(["a", "$b_1$", "c"], POINTS, (0.5, 0.25), title="words")
    (axis,) = figure.axes
    (points,) = axis.collections
    np.testing.assert_allclose(points.get_offsets(), POINTS)
    texts = sorted(axis.texts, key=lambda text: text.get_text())
    assert [label.get_text() for label in texts] == ["$b_1$", "a", "c"]
    np.testing.assert_allclose([label.xy for label in texts], POINTS[[1, 0, 2]])
    assert axis.get_xlabel() == "first principal component (50% of the variance)"
    assert axis.get_ylabel() == "second principal component (25% of the variance)"
    assert axis.get_title(loc="left") == "words"
    assert axis.get_aspect() == 1


@pytest.mark.parametrize("spread", [0.0, 0.03, 1.0])
def test_labels_neither_overlap_nor_are_cut(spread: float) -> None:
    """Also of points at one position, and at the edge."""
    generator = np.random.default_rng(0)
    points = np.concatenate([POINTS, spread * generator.normal(size=(40, 2)).astype(np.float32)])
    labels = [f"{'word' * int(generator.integers(1, 4))} {index}" for index in range(43)]
    figure = draw_scatter(labels, points, (0.5, 0.25))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    (axis,) = figure.axes
    boxes = np.stack([text.get_window_extent(renderer).extents for text in axis.texts])
    frame = axis.get_window_extent(renderer).extents
    at = axis.transData.transform(points)
    assert (boxes[:, :2] >= frame[:2]).all()
    assert (boxes[:, 2:] <= frame[2:]).all()
    for index, box in enumerate(boxes):
        others = np.delete(boxes, index, 0)
        assert not ((box[:2] < others[:, 2:]) & (box[2:] > others[:, :2])).all(1).any(), labels[index]
        assert not ((box[:2] < at) & (box[2:] > at)).all(1).any(), "a label covers a point"


def test_labels_without_room_are_omitted_and_counted() -> None:
    (axis,) = draw_scatter(["a", "too long " * 100, "b"], POINTS, (0.5, 0.25)).axes
    note = "1 of 3 labels are omitted: there is no room"
    assert sorted(text.get_text() for text in axis.texts) == [note, "a", "b"]


def test_unequal_numbers_of_labels_and_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 labels need points of shape \(2, 2\)"):
        draw_scatter(["a", "b"], POINTS, (1, 0))
