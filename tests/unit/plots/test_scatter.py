"""Scatter plot of words: labelled points and axes."""

import numpy as np
import pytest

from sluice.plots.scatter import draw_scatter

POINTS = np.array([[0, 1], [2, -1], [0.5, 0.25]], dtype=np.float32)


def test_every_word_has_a_labelled_point() -> None:
    figure = draw_scatter(["a", "$b_1$", "c"], POINTS, (0.5, 0.25), title="words")
    (axis,) = figure.axes
    (points,) = axis.collections
    np.testing.assert_allclose(points.get_offsets(), POINTS)
    assert [label.get_text() for label in axis.texts] == ["a", "$b_1$", "c"]
    np.testing.assert_allclose([label.xy for label in axis.texts], POINTS)
    assert axis.get_xlabel() == "first principal component (50% of the variance)"
    assert axis.get_ylabel() == "second principal component (25% of the variance)"
    assert axis.get_title(loc="left") == "words"
    assert axis.get_aspect() == 1


def test_unequal_numbers_of_labels_and_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 labels need points of shape \(2, 2\)"):
        draw_scatter(["a", "b"], POINTS, (1, 0))
