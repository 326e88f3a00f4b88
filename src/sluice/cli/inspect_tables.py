"""States and gates as tables in the terminal, a row per symbol and a column per unit, coloured like the heatmaps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from sluice.analysis.hidden_states import color_scale, display_name
from sluice.analysis.inspection import UnitValues
from sluice.inference.trace import StepPrediction, Trace
from sluice.terminal import print_line, print_table, printable

MAX_SHOWN = 120
"""Maximum number of symbols in a table."""
MAX_SYMBOL_LENGTH = 24


def print_activations(
    trace: Trace, parts: UnitValues, numbers: Sequence[int], title: str, decisive: Sequence[int] = ()
) -> None:
    """Prints a table for each state and gate; the first one also has the model's outputs.

    Args:
        trace: states and predictions for a text.
        parts: values of the selected units.
        numbers: indices of these units.
        title: printed above the tables.
        decisive: positions of the decisive symbols, printed at the end.
    """
    print_line(title)
    for index, (name, values) in enumerate(parts.items()):
        print(f"{display_name(name)}, by unit:")
        print_table(_table(trace, name, values, numbers, _prediction_columns(trace) if index == 0 else {}))
    if len(trace.symbols) > MAX_SHOWN:
        print(f"… and {len(trace.symbols) - MAX_SHOWN} more symbols (--json prints all)")
    if decisive:
        symbols = ", ".join(f"{trace.symbols[position]} ({position + 1})" for position in decisive)
        print_line(f"Decisive symbols: {symbols}")
    if trace.prediction is not None:
        print_line(f"Prediction: {trace.prediction.prediction}  {trace.prediction.probability:.3f}")


def _table(
    trace: Trace,
    name: str,
    values: NDArray[np.float32],
    numbers: Sequence[int],
    columns: dict[str, list[Text]],
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for unit in numbers:
        table.add_column(str(unit), justify="right")
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "prediction" else "right")
    scale = color_scale(name, values)
    fractions = values if scale == "gate" else values / max(float(np.abs(values).max()), 1e-12)
    for step, symbol in enumerate(trace.symbols[:MAX_SHOWN]):
        cells = [_coloured(*pair, scale == "gate") for pair in zip(values[step], fractions[step], strict=True)]
        table.add_row(_short(symbol), *cells, *(column[step] for column in columns.values()))
    return table


def _prediction_columns(trace: Trace) -> dict[str, list[Text]]:
    """Columns with the model's output at each symbol."""
    columns: dict[str, list[Text]] = {}
    if trace.weights is not None:
        columns["weight"] = [Text(f"{weight:.3f}") for weight in trace.weights]
    if trace.predictions:
        columns["prediction"] = [_short(step.prediction) for step in trace.predictions]
        columns["probability"] = [Text(f"{step.probability:.3f}") for step in trace.predictions]
    if any(step.next_probability is not None for step in trace.predictions):
        columns["probability of next symbol"] = [Text(_figure(step)) for step in trace.predictions]
    return columns


def _figure(step: StepPrediction) -> str:
    return "" if step.next_probability is None else f"{step.next_probability:.3f}"


def _coloured(value: float, fraction: float, gate: bool) -> Text:
    """The value on a coloured background: red for positive states and open gates, blue for others."""
    strength = min(abs(2 * fraction - 1 if gate else fraction), 1)
    other = round(255 * (1 - 0.7 * strength))
    above = fraction >= 0.5 if gate else fraction >= 0
    colour = f"rgb(255,{other},{other})" if above else f"rgb({other},{other},255)"
    return Text(f"{value:.2f}", style=f"black on {colour}")


def _short(symbol: str) -> Text:
    shown = {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(symbol, symbol)
    return Text(printable(shown) if len(shown) <= MAX_SYMBOL_LENGTH else shown[: MAX_SYMBOL_LENGTH - 1] + "…")
