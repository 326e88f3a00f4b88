"""sluice inspect: hidden states and gates of a trained model for each symbol of a text."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sluice.analysis.hidden_states import most_reactive_units
from sluice.analysis.inspection import (
    Reader,
    View,
    caption_of,
    decisive_positions,
    panels_of,
    reader_of,
    selected_values,
)
from sluice.cli.inspect_tables import print_activations
from sluice.errors import UserError
from sluice.inference.trace import Trace
from sluice.models.seq2seq import Seq2Seq
from sluice.plain import Plain
from sluice.plots.save import FOLDER, add_to_tensorboard, check_figure, file_stem, save_figure, unused_path
from sluice.recipes.load import load_model
from sluice.runs.saved_model import SavedModel
from sluice.terminal import print_line

MAX_DRAWN = 600
"""Maximum number of symbols in a plot."""


def inspect_command(
    given: list[str],
    gradients: bool,
    text_options: Plain,
    gradient_options: Plain,
    network_options: Plain,
    *,
    png: Path | None,
    as_json: bool,
) -> None:
    """Calls `inspect_text` or `inspect_gradients`; an option without effect is refused.

    Args:
        given: a run and a text, or with `gradients` any number of runs.
        gradients: whether to inspect gradients instead of hidden states.
        text_options: options of `inspect_text`, None or False where not given.
        gradient_options: options of `inspect_gradients`, None where not given.
        network_options: settings of UntrainedNetworks except `steps`, None where not given.
        png, as_json: see `inspect_text`.

    Raises:
        UserError: for arguments that exclude each other; see also `inspect_text` and `inspect_gradients`.
    """
    if not gradients:
        _refuse(gradient_options | network_options, "needs --gradients: add it, or omit this option")
        if len(given) != 2:
            raise UserError('give a run and a text in quotes: sluice inspect RUN "text", or --gradients')
        inspect_text(Path(given[0]), given[1], **text_options, png=png, as_json=as_json)
        return
    layer, tokenized = text_options.pop("layer"), text_options.pop("tokenized")
    text_options["tokenized/--raw"] = None if tokenized is None else True
    _refuse(text_options, "cannot be combined with --gradients: omit one of them")
    if given:
        _refuse(network_options, "is for untrained networks: omit it, or omit the runs")
    else:
        _refuse({"layer": layer, "data_dir": gradient_options["data_dir"]}, "needs a run: give one, or omit it")
    settings = {**network_options, "steps": gradient_options["steps"]}
    chosen = {name: value for name, value in settings.items() if value is not None}
    if "cells" in chosen:
        chosen["cells"] = tuple(name.strip() for name in chosen["cells"].split(","))
    _inspect_gradients(given, chosen, layer=layer, **gradient_options, png=png, as_json=as_json)


def _inspect_gradients(given: list[str], networks: Plain, **options: Any) -> None:
    from sluice.analysis.gradients import UntrainedNetworks  # imports Lightning
    from sluice.cli.inspect_gradients import inspect_gradients

    inspect_gradients([Path(run) for run in given], networks=UntrainedNetworks(**networks), **options)


def _refuse(options: Plain, why: str) -> None:
    """Refuses options that were given but have no effect.

    Raises:
        UserError: for the first option that was given.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            raise UserError(f"--{name.replace('_', '-')} {why}")


def _note_truncation(trace: Trace) -> None:
    if trace.kept < trace.length:
        print(f"note: the text has {trace.length} tokens and was truncated to {trace.kept}", file=sys.stderr)


def _trace(reader: Reader, text: str, layer: int | None, backward: bool) -> Trace:
    """Records states and gates.

    Raises:
        UserError: if the text has no tokens, or the layer or direction doesn't exist.
    """
    try:
        return reader.trace(text, layer=layer, backward=backward)
    except ValueError as error:
        raise UserError(str(error)) from error


def inspect_text(
    run: Path,
    text: str,
    *,
    units: str | None,
    layer: int | None,
    backward: bool,
    gates: bool,
    tokenized: bool | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Prints and plots the states of selected units for each symbol of a text.

    Args:
        run: a run folder or a checkpoint.
        text: the input text.
        units: unit indices such as "3,7,12-15"; None for the units that react most.
        layer: layer number, 1 is the lowest; None for the top layer.
        backward: inspect the backward direction of a bidirectional layer.
        gates: also inspect the gates.
        tokenized: whether the text is tokenised already; None for a text like those of training.
        png: the file of the plot; None for a new file in the run folder, or for no plot with `as_json`.
        as_json: print one JSON object.

    Raises:
        UserError: for an invalid checkpoint, an empty text, a unit, layer or direction that doesn't exist, or a plot
            that exists already or cannot be written.
    """
    check_figure("--png", png)
    model = replace(load_model(run), tokenized=tokenized)
    view = _view(model, text, units=units, layer=layer, backward=backward, gates=gates)
    if as_json:
        path = None if png is None else _draw(view, text, png)[0]
        print(json.dumps(_plain(view, path), ensure_ascii=False))
        return
    _print_notes(view)
    print_activations(view.trace, view.parts, view.numbers, view.title, view.decisive)
    path, tensorboard = _draw(view, text, png)
    print_line(f"Wrote {path}{tensorboard}")


def _view(model: SavedModel, text: str, *, units: str | None, layer: int | None, backward: bool, gates: bool) -> View:
    """Records the states of a text and selects units, see `inspect_text`."""
    reader = reader_of(model)
    trace = _trace(reader, text, layer, backward)
    _note_truncation(trace)
    decisive, last = decisive_positions(model, reader, trace), list(trace.states.values())[-1]
    if units is None:
        numbers = most_reactive_units(last, decisive, backward=backward)
    else:
        numbers = parse_units(units, last.shape[1])
    parts = selected_values(trace, numbers, gates)
    return View(model, trace, layer or model.config.model.num_layers, backward, numbers, parts, decisive)


def parse_units(given: str, count: int) -> list[int]:
    """Parses unit indices and ranges such as "3,7,12-15"; each unit is returned once.

    Raises:
        UserError: if `given` cannot be parsed, or a unit is not less than `count`.
    """
    numbers: list[int] = []
    for piece in given.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"--units {given} cannot be read: give numbers and ranges, as in 3,7,12-15")
        if int(last or first) >= count:
            raise UserError(
                f"--units {given} cannot be used: there is no unit {last or first}, units are 0-{count - 1}"
            )
        numbers += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(numbers))


def _draw(view: View, text: str, png: Path | None) -> tuple[Path, str]:
    """Writes the plot to a file and to TensorBoard, under the same name; returns the file and a line on TensorBoard."""
    from sluice.plots.heatmaps import draw_panels

    symbols, drawn = view.trace.symbols, slice(MAX_DRAWN)
    if len(symbols) > MAX_DRAWN:
        print(f"note: the plot shows the first {MAX_DRAWN} of {len(symbols)} symbols", file=sys.stderr)
    panels = [
        panel._replace(values=panel.values[drawn], labels=panel.labels and panel.labels[drawn])
        for panel in panels_of(view)
    ]
    marked = [position for position in view.decisive if position < MAX_DRAWN]
    figure = draw_panels(symbols[drawn], panels, title=view.title, caption=caption_of(view), marked=marked)
    folder = view.model.path.parent / FOLDER
    path = png or unused_path(folder, _stem(view, text))
    save_figure(figure, path)
    return path, add_to_tensorboard(folder, path.stem, figure, required=png is None)


def _stem(view: View, text: str) -> str:
    direction = "-backward" if view.backward else ""
    return f"{'gates' if view.gates else 'states'}-layer-{view.layer}{direction}-{file_stem(text)}"


def _print_notes(view: View) -> None:
    network, unknown = view.model.network, view.trace.unknown
    if view.model.data_source == "sample":
        print("note: this model was trained on generated data", file=sys.stderr)
    if unknown:
        print_line(f"note: not in the vocabulary, replaced by <unk>: {', '.join(unknown)}", file=sys.stderr)
    if isinstance(network, Seq2Seq) and network.decoder.attention is not None:
        print(
            "note: these are states of the encoder; to plot the attention: sluice translate --attention",
            file=sys.stderr,
        )


def _plain(view: View, path: Path | None) -> Plain:
    trace, config = view.trace, view.model.config
    plain: Plain = {
        "checkpoint": str(view.model.path),
        "task": config.task.name,
        "layer": view.layer,
        "layers": config.model.num_layers,
        "direction": "backward" if view.backward else "forward",
        "units": view.numbers,
        "symbols": trace.symbols,
        "unknown": trace.unknown,
        "decisive": view.decisive,
        "states": {name: part.tolist() for name, part in view.states.items()},
    }
    if view.gates:
        plain["gates"] = {name: part.tolist() for name, part in view.gates.items()}
    if trace.weights is not None:
        plain["attention"] = trace.weights.tolist()
    if trace.predictions:
        plain["predictions"] = [prediction._asdict() for prediction in trace.predictions]
    if trace.prediction is not None:
        plain["label"], plain["probability"] = trace.prediction[:2]
    return plain if path is None else {**plain, "png": str(path)}
