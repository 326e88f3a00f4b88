"""Heatmaps of several panels over the same symbols in one figure."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sluice.plots.heatmaps import Panel, draw_panels

SYMBOLS = list("abcde")
STATES = np.random.default_rng(0).normal(0, 2, (5, 3)).astype(np.float32)
GATES = np.random.default_rng(1).uniform(0, 1, (5, 2)).astype(np.float32)
WEIGHTS = np.array([[0.1], [0.2], [0.4], [0.2], [0.1]], dtype=np.float32)
PANELS = [
    Panel("cell state", STATES, ["3", "1", "2"], "signed"),
    Panel("forget gate", GATES, ["3", "1"], "gate"),
    Panel("attention", WEIGHTS, ["weight"], "weight"),
]


def plots(figure: Figure) -> list[Axes]:
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_each_panel_has_its_own_values_scale_and_labels() -> None:
    figure = draw_panels(SYMBOLS, PANELS, title="a $5 text")
    axes = plots(figure)
    assert len(axes) == 3
    largest = float(np.abs(STATES).max())
    for axis, panel, limits in zip(axes, PANELS, ((-largest, largest), (0, 1), (0, 0.4)), strict=True):
        (image,) = axis.images
        np.testing.assert_allclose(np.asarray(image.get_array()), panel.values.T)
        assert image.get_clim() == pytest.approx(limits)
        assert axis.get_title(loc="left") == panel.title
        assert [label.get_text() for label in axis.get_yticklabels()] == list(panel.names)
        assert [label.get_text() for label in axis.get_xticklabels()] == SYMBOLS
    assert figure.get_suptitle() == "a $5 text"


def test_panels_wrap_into_further_lines() -> None:
    axes = plots(draw_panels(SYMBOLS, PANELS[:2], symbols_per_line=2))
    assert [len(axis.get_xticklabels()) for axis in axes] == [2, 2, 1, 2, 2, 1]


def test_narrow_panels_of_equal_height_stand_side_by_side() -> None:
    figure = draw_panels(SYMBOLS, [PANELS[0], PANELS[0], PANELS[2]])
    figure.draw_without_rendering()
    left, right, below = (axis.get_position() for axis in plots(figure))
    assert left.x1 < right.x0
    assert left.y1 == pytest.approx(right.y1)
    assert (below.x0, below.x1) == pytest.approx((left.x0, left.x1)), "columns of the same symbols"
    assert below.y1 < left.y0
    assert below.height == pytest.approx(left.height / 3, rel=0.05), "one row instead of three"
    wide = plots(draw_panels(SYMBOLS * 12, [Panel("", np.tile(STATES, (12, 1)), ["3", "1", "2"], "signed")] * 2))
    assert [axis.get_subplotspec().colspan.start for axis in wide] == [0, 0]  # type: ignore[union-attr]


def test_decisive_tokens_are_framed() -> None:
    labels = ["neg", "neg", "positive", "neg", "neg"]
    panels = [PANELS[0], Panel("prediction", WEIGHTS, [""], "probability", labels)]
    figure = draw_panels(SYMBOLS, panels, caption="prediction: $x", marked=[1, 3], symbols_per_line=3)
    first, second, predicted, _ = plots(figure)
    for axis, position, framed in ((first, 1, [0.5, 1.5]), (second, 0, [-0.5, 0.5]), (predicted, 1, [0.5, 1.5])):
        assert [line.get_xdata()[0] for line in axis.lines] == framed  # type: ignore[index]
        bold = [label.get_weight() == "bold" for label in axis.get_xticklabels()]
        assert bold == [axis is not predicted and index == position for index in range(len(bold))]
    assert [label.get_text() for label in predicted.get_xticklabels()] == labels[:3]
    assert {label.get_rotation() for label in predicted.get_xticklabels()} == {90}
    assert predicted.images[0].get_clim() == (0, 1)
    assert figure.get_supxlabel() == "prediction: $x"


def test_all_zero_weights_can_be_drawn() -> None:
    (axis,) = plots(draw_panels("ab", [Panel("", np.zeros((2, 1), np.float32), ["w"], "weight")]))
    low, high = axis.images[0].get_clim()
    assert low < high


def test_mismatched_panel_is_refused() -> None:
    with pytest.raises(ValueError, match="5 symbols and 1 units don't match values"):
        draw_panels(SYMBOLS, [PANELS[0], Panel("", GATES, ["3"], "gate")])
