"""The units that are shown, and their colour scales."""

import numpy as np
import pytest

from sluice.analysis.hidden_states import color_scale, most_varying_units


def test_units_are_sorted_by_change() -> None:
    values = np.array([[0, 5, -1, 0.1], [0, 5, 1, 0.3], [0, 5, -1, 0.1]], dtype=np.float32)
    assert most_varying_units(values, 2) == [2, 3]
    assert most_varying_units(values[:1], 2) == [1, 2], "the largest values of a single step"


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("cell", [0.1, 0.2], "tanh"),
        ("hidden", [0.1, 0.2], "signed"),
        ("hidden", [0.1, 3.0], "tanh"),
        ("forget", [0.1, 0.2], "gate"),
        ("candidate", [0.1, 0.2], "signed"),
        ("custom", [-0.1, 0.2], "signed"),
    ],
)
def test_scale_depends_on_the_kind_of_values(name: str, values: list[float], scale: str) -> None:
    assert color_scale(name, np.array([values], dtype=np.float32)) == scale
