"""sluice inspect: hidden states and gates of a trained model for each symbol of a text."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.analysis.activations import LayerChoice, TextActivations, record_activations
from sluice.analysis.gradients import UntrainedNetworks
from sluice.analysis.hidden_states import color_scale, display_name, most_varying_units
from sluice.cli.inspect_gradients import inspect_gradients
from sluice.cli.inspect_tables import UnitValues, print_activations
from sluice.errors import UserError
from sluice.models.seq2seq import Seq2Seq
from sluice.plain import Plain
from sluice.plots.save import FOLDER, add_to_tensorboard, check_unused, file_stem, save_figure, unused_path
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
    runs = [Path(run) for run in given]
    inspect_gradients(
        runs, networks=UntrainedNetworks(**chosen), layer=layer, **gradient_options, png=png, as_json=as_json
    )


def _refuse(options: Plain, why: str) -> None:
    """Refuses options that were given but have no effect.

    Raises:
        UserError: for the first option that was given.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            raise UserError(f"--{name.replace('_', '-')} {why}")


def _note_truncation(activations: TextActivations) -> None:
    length, kept = activations.length, activations.kept
    if kept < length:
        print(f"note: the text has {length} tokens and was truncated to {kept}", file=sys.stderr)


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
        units: unit indices such as "3,7,12-15"; None for the units that vary most.
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
    check_unused(png)
    model = replace(load_model(run), tokenized=tokenized)
    activations = record_activations(model, text, LayerChoice(layer, backward))
    _note_truncation(activations)
    last = _numpy(list(activations.hidden.states.values())[-1])
    numbers = most_varying_units(last) if units is None else parse_units(units, last.shape[1])
    choice = LayerChoice(layer or model.config.model.num_layers, backward)
    view = View(model, activations, choice, numbers, _parts(activations, numbers, gates))
    if as_json:
        path = None if png is None else _draw(view, text, png)
        print(json.dumps(_plain(view, path), ensure_ascii=False))
        return
    _print_notes(view)
    print_activations(activations, view.parts, numbers, view.title)
    path = _draw(view, text, png)
    print_line(f"Wrote {path}; also in TensorBoard: tensorboard --logdir {model.path.parent}")


class View(NamedTuple):
    """Selected units of a model for a text."""

    model: SavedModel
    activations: TextActivations
    choice: LayerChoice
    numbers: list[int]
    """Unit indices."""
    parts: UnitValues

    @property
    def title(self) -> str:
        """Title of the plot and of the printed tables."""
        config = self.model.config
        direction = " · backward" if self.choice.backward else ""
        layer = f"layer {self.choice.layer} of {config.model.num_layers}"
        return f"{config.task.name} · {config.model.name} · {layer}{direction}"

    @property
    def states(self) -> UnitValues:
        """The parts that are states."""
        return {name: part for name, part in self.parts.items() if name in self.activations.hidden.states}

    @property
    def gates(self) -> UnitValues:
        """The parts that are gates; empty unless gates were requested."""
        return {name: part for name, part in self.parts.items() if name not in self.activations.hidden.states}


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


def _parts(activations: TextActivations, numbers: Sequence[int], gates: bool) -> UnitValues:
    """Selected units by the name of the state or gate, each of shape (T, units)."""
    values_by_name = {**activations.hidden.states, **(activations.hidden.gates if gates else {})}
    return {name: _numpy(values)[:, list(numbers)] for name, values in values_by_name.items()}


def _draw(view: View, text: str, png: Path | None) -> Path:
    """Writes the plot to a file and to TensorBoard, under the same name; returns the file."""
    from sluice.plots.heatmaps import Panel, draw_panels

    symbols, weights = view.activations.symbols, view.activations.weights
    names, drawn = [str(unit) for unit in view.numbers], slice(MAX_DRAWN)
    if len(symbols) > MAX_DRAWN:
        print(f"note: the plot shows the first {MAX_DRAWN} of {len(symbols)} symbols", file=sys.stderr)
    panels = [
        Panel(f"{display_name(name)}, by unit", values[drawn], names, color_scale(name, values))
        for name, values in view.parts.items()
    ]
    if weights is not None:
        column = np.asarray(weights, dtype=np.float32)[drawn, None]
        panels.append(Panel("attention weight of each symbol", column, ["weight"], "weight"))
    figure = draw_panels(symbols[drawn], panels, title=view.title)
    folder = view.model.path.parent / FOLDER
    path = png or unused_path(folder, _stem(view, text))
    save_figure(figure, path)
    add_to_tensorboard(folder, path.stem, figure)
    return path


def _stem(view: View, text: str) -> str:
    direction = "-backward" if view.choice.backward else ""
    return f"{'gates' if view.gates else 'states'}-layer-{view.choice.layer}{direction}-{file_stem(text)}"


def _print_notes(view: View) -> None:
    network, unknown = view.model.network, view.activations.unknown
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
    activations, config = view.activations, view.model.config
    plain: Plain = {
        "checkpoint": str(view.model.path),
        "task": config.task.name,
        "layer": view.choice.layer,
        "layers": config.model.num_layers,
        "direction": "backward" if view.choice.backward else "forward",
        "units": view.numbers,
        "symbols": activations.symbols,
        "unknown": activations.unknown,
        "states": {name: part.tolist() for name, part in view.states.items()},
    }
    if view.gates:
        plain["gates"] = {name: part.tolist() for name, part in view.gates.items()}
    if activations.weights is not None:
        plain["attention"] = activations.weights
    if activations.predictions:
        plain["predictions"] = [prediction._asdict() for prediction in activations.predictions]
    if activations.prediction is not None:
        plain["label"], plain["probability"] = activations.prediction[:2]
    return plain if path is None else {**plain, "png": str(path)}


def _numpy(values: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().numpy()
    return array
