"""The table of gradient norms by distance."""

import numpy as np

from sluice.cli.inspect_gradients import table_rows


def test_table_has_selected_distances_and_the_ratio() -> None:
    long, short = np.linspace(1, 0.25, 31, dtype=np.float32), np.array([4.0, 2.0, 1.0], dtype=np.float32)
    heading, first, second = table_rows({"long": long, "short": short})
    assert heading == ["steps before the loss", "0", "10", "20", "30", "last / first"]
    assert first == ["long", "1.00e+00", "7.50e-01", "5.00e-01", "2.50e-01", "2.50e-01"]
    assert second == ["short", "4.00e+00", "", "", "", "2.50e-01"]
