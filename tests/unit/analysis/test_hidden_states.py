"""The units that are shown, and their colour scales."""

import numpy as np
import pytest

from sluice.analysis.hidden_states import color_scale, most_reactive_units

STATES = np.array(
    # drifts, flickers, reacts at 2, reacts at 2 and 4, constant
    [[0, 1, 0, 0, 5], [2, -1, 0, 0.1, 5], [4, 1, 3, 2, 5], [6, -1, 3, 2, 5], [8, 1, 3, 4, 5], [10, -1, 3, 4, 5]],
    dtype=np.float32,
)


@pytest.mark.parametrize(
    ("decisive", "expected"),
    [([2, 4], [3, 2]), ([2], [2, 3]), ([4], [3, 0]), ([], [1, 2]), (range(6), [1, 2])],
)
def test_units_that_react_to_decisive_symbols_come_first(decisive: list[int], expected: list[int]) -> None:
    assert most_reactive_units(STATES, decisive, count=2) == expected


def test_reactions_of_backward_states_and_of_a_single_symbol() -> None:
    assert most_reactive_units(STATES[::-1], [1, 3], backward=True, count=2) == [3, 2]
    assert most_reactive_units(STATES[2:3], count=3) == [4, 0, 2], "the largest absolute values"


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("cell", [0.1, 0.2], "signed"),
        ("hidden", [0.1, 0.2], "signed"),
        ("forget", [0.1, 3.0], "signed"),
        ("forget", [0.1, 0.2], "gate"),
        ("candidate", [0.1, 0.2], "signed"),
        ("custom", [-0.1, 0.2], "signed"),
    ],
)
def test_scale_depends_on_the_kind_of_values(name: str, values: list[float], scale: str) -> None:
    assert color_scale(name, np.array([values], dtype=np.float32)) == scale
