"""Choosing and naming the units of hidden states and gates that are shown."""

import numpy as np
from numpy.typing import NDArray

DEFAULT_UNITS = 8
"""Number of units returned by `most_varying_units`."""


def most_varying_units(values: NDArray[np.float32], count: int = DEFAULT_UNITS) -> list[int]:
    """The units with the largest variance over the steps of (T, H) values, or for T = 1 the largest absolute value."""
    variance = values.var(0) if len(values) > 1 else np.abs(values[0])
    return [int(unit) for unit in np.argsort(-variance, kind="stable")[:count]]


def color_scale(name: str, values: NDArray[np.float32]) -> str:
    """The colour scale for the values of a state or gate, a key of `sluice.plots.heatmaps.SCALES`."""
    if name == "cell" or np.abs(values).max() > 1:
        return "tanh"
    return "signed" if name in ("hidden", "new", "candidate") or values.min() < 0 else "gate"


def display_name(name: str) -> str:
    """Human-readable name of a state or gate."""
    names = {"hidden": "hidden state", "cell": "cell state", "new": "new state", "candidate": "candidate"}
    return names.get(name, f"{name} gate")
