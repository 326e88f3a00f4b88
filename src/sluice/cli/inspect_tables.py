"""States and gates in the terminal: symbols down, units across, numbers on the colours of the strips."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from sluice.analysis.activations import StepPrediction, TextActivations
from sluice.analysis.hidden_states import color_scale, display_name
from sluice.terminal import print_table, printable, say

MOST_SHOWN = 120
"""Symbols."""
LONGEST_SYMBOL = 24

UnitValues = dict[str, NDArray[np.float32]]
"""By the name of a state or gate, (T, units)."""


def show_activations(activations: TextActivations, parts: UnitValues, numbers: Sequence[int], title: str) -> None:
    """A table a part: symbols down, units across, and beside the first one what the model answers."""
    say(title)
    for place, (name, values) in enumerate(parts.items()):
        print(f"{display_name(name)}, by unit:")
        print_table(_table(activations, name, values, numbers, _beside(activations) if place == 0 else {}))
    if len(activations.symbols) > MOST_SHOWN:
        print(f"… and {len(activations.symbols) - MOST_SHOWN} more symbols: --json has all of them")
    if activations.prediction is not None:
        say(f"Answer: {activations.prediction.prediction}  {activations.prediction.probability:.3f}")


def _table(
    activations: TextActivations,
    name: str,
    values: NDArray[np.float32],
    numbers: Sequence[int],
    beside: dict[str, list[Text]],
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for unit in numbers:
        table.add_column(str(unit), justify="right")
    for column in beside:
        table.add_column(column, justify="left" if column == "answer" else "right")
    scale = color_scale(name, values)
    squashed = np.tanh(values) if scale == "tanh" else values
    for step, symbol in enumerate(activations.symbols[:MOST_SHOWN]):
        cells = [_coloured(*pair, scale == "gate") for pair in zip(values[step], squashed[step], strict=True)]
        table.add_row(_short(symbol), *cells, *(column[step] for column in beside.values()))
    return table


def _beside(activations: TextActivations) -> dict[str, list[Text]]:
    """Columns on what the model makes of each symbol."""
    columns: dict[str, list[Text]] = {}
    if activations.weights is not None:
        columns["weight"] = [Text(f"{weight:.3f}") for weight in activations.weights]
    if activations.predictions:
        columns["answer"] = [_short(step.prediction) for step in activations.predictions]
        columns["probability"] = [Text(f"{step.probability:.3f}") for step in activations.predictions]
    if any(step.next_probability is not None for step in activations.predictions):
        columns["of what follows"] = [Text(_figure(step)) for step in activations.predictions]
    return columns


def _figure(step: StepPrediction) -> str:
    return "" if step.next_probability is None else f"{step.next_probability:.3f}"


def _coloured(value: float, squashed: float, gate: bool) -> Text:
    """The number on the colour of its strip: red above, blue below zero, or below a half of a gate."""
    strength = min(abs(2 * squashed - 1 if gate else squashed), 1)
    other = round(255 * (1 - 0.7 * strength))
    above = squashed >= 0.5 if gate else squashed >= 0
    colour = f"rgb(255,{other},{other})" if above else f"rgb({other},{other},255)"
    return Text(f"{value:.2f}", style=f"black on {colour}")


def _short(symbol: str) -> Text:
    shown = {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(symbol, symbol)
    return Text(printable(shown) if len(shown) <= LONGEST_SYMBOL else shown[: LONGEST_SYMBOL - 1] + "…")
