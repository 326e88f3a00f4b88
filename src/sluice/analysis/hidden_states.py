"""Choosing and naming the units of hidden states and gates that are shown."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEFAULT_UNITS = 8
"""Number of units returned by `most_reactive_units`."""


def most_reactive_units(
    values: NDArray[np.float32], decisive: Sequence[int] = (), *, backward: bool = False, count: int = DEFAULT_UNITS
) -> list[int]:
    """The units whose state reacts most to the decisive symbols of a text, the strongest first.

    The reaction of a unit to a symbol is the absolute change of its state at that step. Units are ranked by their mean
    reaction to the decisive symbols minus that to the others; without decisive symbols, by the standard deviation of
    their changes between symbols, which ignores a constant drift; for a single step, by the absolute value.

    Args:
        values: (T, H) states.
        decisive: positions of the decisive symbols.
        backward: whether the states were computed from the last symbol to the first.
        count: number of units.
    """
    ordered = values[::-1] if backward else values
    changes = np.diff(ordered, axis=0, prepend=np.zeros_like(ordered[:1]))
    changes = changes[::-1] if backward else changes
    chosen = np.zeros(len(values), dtype=bool)
    chosen[list(decisive)] = True
    if len(values) == 1:
        score = np.abs(values[0])
    elif chosen.any() and not chosen.all():
        score = np.abs(changes[chosen]).mean(0) - np.abs(changes[~chosen]).mean(0)
    else:
        between = np.diff(values, axis=0)
        score = between.std(0) if len(between) > 1 else np.abs(between[0])
    return [int(unit) for unit in np.argsort(-score, kind="stable")[:count]]


def color_scale(name: str, values: NDArray[np.float32]) -> str:
    """The colour scale for the values of a state or gate, a key of `sluice.plots.heatmaps.SCALES`."""
    if name in ("hidden", "cell", "new", "candidate") or values.min() < 0 or values.max() > 1:
        return "signed"
    return "gate"


def display_name(name: str) -> str:
    """Human-readable name of a state or gate."""
    names = {"hidden": "hidden state", "cell": "cell state", "new": "new state", "candidate": "candidate"}
    return names.get(name, f"{name} gate")
