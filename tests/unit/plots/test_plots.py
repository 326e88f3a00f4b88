"""Figures show the given values with labelled axes and leave no global state."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sluice.plots.attention import draw_attention
from sluice.plots.gradients import draw_gradients
from sluice.plots.heatmaps import SYMBOLS_PER_LINE, Panel, draw_panels

VALUES = np.random.default_rng(0).normal(0, 2, (7, 3)).astype(np.float32)
LARGEST = float(np.abs(VALUES).max())
SYMBOLS = list("B aX$\nE")
UNITS = ["unit 4", "unit 8", "unit 0"]


def draw_heatmap(
    symbols: Sequence[str],
    values: np.ndarray,
    *,
    names: Sequence[str] = UNITS,
    scale: str = "signed",
    symbols_per_line: int = SYMBOLS_PER_LINE,
) -> Figure:
    return draw_panels(symbols, [Panel("", values, names, scale)], title="a title", symbols_per_line=symbols_per_line)


def cells_of(axis: Axes) -> np.ndarray:
    (image,) = axis.images
    return np.asarray(image.get_array())


def words(labels: object) -> list[str]:
    return [label.get_text() for label in labels]  # type: ignore[attr-defined]


def plots(figure: Figure) -> list[Axes]:
    """The axes without those of a colour bar."""
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


@pytest.mark.parametrize(
    ("scale", "limits"),
    [("signed", (-LARGEST, LARGEST)), ("gate", (0, 1)), ("weight", (0, LARGEST)), ("probability", (0, 1))],
)
def test_heatmap_has_a_row_per_unit_and_a_column_per_symbol(scale: str, limits: tuple[float, float]) -> None:
    figure = draw_heatmap(SYMBOLS, VALUES, scale=scale)
    (axis,) = plots(figure)
    np.testing.assert_allclose(cells_of(axis), VALUES.T)
    assert axis.images[0].get_clim() == pytest.approx(limits)
    assert words(axis.get_xticklabels()) == ["B", "␣", "a", "X", r"\$", "⏎", "E"]
    assert words(axis.get_yticklabels()) == UNITS
    assert figure.get_suptitle() == "a title"


@pytest.mark.parametrize("width", [1, 3, 7, 50])
def test_long_text_wraps_into_further_lines(width: int) -> None:
    axes = plots(draw_heatmap(SYMBOLS, VALUES, symbols_per_line=width))
    assert len(axes) == -(-7 // width)
    np.testing.assert_allclose(np.concatenate([cells_of(axis) for axis in axes], axis=1), VALUES.T)
    assert len({axis.get_xlim() for axis in axes}) == 1
    assert sum(len(axis.get_xticklabels()) for axis in axes) == 7


def test_gradient_plot_has_a_line_per_cell_without_zeros() -> None:
    norms = {"rnn": np.array([1, 0.1, 0, np.nan]), "lstm": np.array([1, 0.9, 0.8, 0.7])}
    figure = draw_gradients(norms, title="fading")
    (axis,) = figure.axes
    assert axis.get_yscale() == "log"
    assert [line.get_label() for line in axis.lines] == ["rnn", "lstm"]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [1, 0.1, np.nan, np.nan])
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), norms["lstm"])
    assert axis.lines[0].get_xdata().tolist() == [0, 1, 2, 3]  # type: ignore[union-attr]
    assert axis.get_xlabel() == "steps before the loss"
    assert axis.get_ylabel()
    assert words(axis.get_legend().get_texts()) == ["rnn", "lstm"]  # type: ignore[union-attr]


def test_attention_plot_shows_weights_and_words() -> None:
    weights = np.random.default_rng(1).dirichlet(np.ones(4), 2).astype(np.float32)
    figure = draw_attention(weights, row_labels=["the", "sea"], column_labels=["la", "mer", "est", "$5"], title="pair")
    (axis,) = plots(figure)
    np.testing.assert_array_equal(cells_of(axis), weights)
    assert words(axis.get_xticklabels()) == ["la", "mer", "est", "$5"]
    assert words(axis.get_yticklabels()) == ["the", "sea"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("source", "target")
    assert [bar.get_ylabel() for bar in figure.axes if bar is not axis] == ["attention weight"]


def test_every_figure_can_be_saved(tmp_path: Path) -> None:
    figures = {
        "heatmap": draw_heatmap(SYMBOLS, VALUES, symbols_per_line=3),
        "gradients": draw_gradients({"a": np.array([1.0, 0.5])}),
        "attention": draw_attention(np.ones((1, 2)), row_labels=["a"], column_labels=["b", "$x_1"]),
    }
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_plots_do_not_import_pyplot() -> None:
    code = (
        "import sys, numpy as np; from sluice.plots.heatmaps import Panel, draw_panels; "
        "from sluice.plots.gradients import draw_gradients; from sluice.plots.attention import draw_attention; "
        "import io; panel = Panel('', np.ones((2, 1)), ['u'], 'signed'); "
        "draw_panels('ab', [panel]).savefig(io.BytesIO(), format='png'); "
        "draw_gradients({'a': np.ones(2)}).savefig(io.BytesIO(), format='png'); "
        "draw_attention(np.ones((1, 1)), row_labels=['a'], column_labels=['b']).savefig(io.BytesIO(), format='png'); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: draw_heatmap("ab", VALUES), "2 symbols and 3 units don't match values"),
        (lambda: draw_heatmap(SYMBOLS, VALUES, names=UNITS[:2]), "7 symbols and 2 units"),
        (lambda: draw_heatmap("", np.ones((0, 1)), names=["u"]), "0 symbols"),
        (lambda: draw_heatmap(SYMBOLS, VALUES, scale="db"), "no scale 'db'; there are signed, gate"),
        (lambda: draw_gradients({}), "no gradient"),
        (lambda: draw_gradients({"a": np.zeros(3)}), "no gradient"),
        (lambda: draw_attention(np.ones((2, 2)), row_labels=["a"], column_labels=["b", "c"]), "1 row and 2 column"),
    ],
)
def test_invalid_arguments_are_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()  # type: ignore[operator]
