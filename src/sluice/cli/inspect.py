"""sluice inspect: what the units of a trained model do at every symbol of a text."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.analysis.activations import LayerChoice, TextActivations, read_text
from sluice.analysis.gradients import Fresh
from sluice.analysis.hidden_states import changing_units, kind_of, scale_of
from sluice.cli.inspect_gradients import inspect_gradients
from sluice.cli.inspect_tables import UnitValues, print_activations
from sluice.errors import UserError
from sluice.models.seq2seq import Seq2Seq
from sluice.plain import Plain
from sluice.plots.save import FOLDER, check_new, name_for, new_path, save_picture, show_in_tensorboard
from sluice.recipes.load import load_model
from sluice.recipes.saved_model import SavedModel
from sluice.terminal import print_line

MAX_DRAWN = 600
"""Symbols in a picture."""


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
    """What the words and options of the command ask for; an option that would say nothing is refused.

    Args:
        given: a run and a text, or with `gradients` any number of runs.
        gradients: whether gradients are asked for.
        of_text: options of `inspect_text`, None or False where not given.
        of_gradients: options of `inspect_gradients`, likewise.
        of_fresh: settings of Fresh but for the steps, likewise.
        png: see there.
        as_json: see there.

    Raises:
        UserError: for words or options that don't go together, or as the two say.
    """
    if not gradients:
        _refuse(gradient_options | network_options, "for --gradients: add it, or leave this out")
        if len(given) != 2:
            raise UserError('give a run and a text in quotes: sluice inspect RUN "text", or --gradients')
        inspect_text(Path(given[0]), given[1], **text_options, png=png, as_json=as_json)
        return
    layer = text_options.pop("layer")
    _refuse(text_options, "for a text: leave it out with --gradients")
    if given:
        _refuse(network_options, "for fresh networks: leave it out, or the runs")
    else:
        _refuse({"layer": layer, "data_dir": gradient_options["data_dir"]}, "for runs: give one, or leave this out")
    chosen = {
        name: value
        for name, value in {**network_options, "steps": gradient_options["steps"]}.items()
        if value is not None
    }
    if "cells" in chosen:
        chosen["cells"] = tuple(name.strip() for name in chosen["cells"].split(","))
    runs = [Path(run) for run in given]
    inspect_gradients(runs, fresh=Fresh(**chosen), layer=layer, **gradient_options, png=png, as_json=as_json)


def _refuse(options: Plain, why: str) -> None:
    """
    Raises:
        UserError: for the first option that was given.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            raise UserError(f"--{name.replace('_', '-')} is {why}")


def inspect_text(
    run: Path,
    text: str,
    *,
    units: str | None,
    layer: int | None,
    backward: bool,
    gates: bool,
    png: Path | None,
    as_json: bool,
) -> None:
    """Prints and draws the states of chosen units at every symbol of a text.

    Args:
        run: a run's folder or a checkpoint.
        text: what the model reads.
        units: as in "3,7,12-15"; None takes those that change most.
        layer: from 1, the lowest, on; None for the top one.
        backward: the direction that reads from the end.
        gates: the gates too.
        png: the picture's file; None for one in the run's folder, or none where the numbers are wanted as JSON.
        as_json: one JSON object.

    Raises:
        UserError: for a checkpoint that isn't one, an empty text, a unit, layer or direction that isn't there, or a
            picture that is there already or cannot be written.
    """
    check_new(png)
    model = load_model(run)
    activations = read_text(model, text, LayerChoice(layer, backward))
    if activations.kept < activations.length:
        note = f"the text has {activations.length} tokens; the model reads {activations.kept} of them"
        print(f"note: {note}", file=sys.stderr)
    last = _numpy(list(activations.hidden.states.values())[-1])
    numbers = changing_units(last) if units is None else parse_units(units, last.shape[1])
    place = LayerChoice(layer or model.config.model.num_layers, backward)
    view = View(model, activations, place, numbers, _parts(activations, numbers, gates))
    if as_json:
        path = None if png is None else _draw(view, text, png)
        print(json.dumps(_plain(view, path), ensure_ascii=False))
        return
    _print_notes(view)
    print_activations(activations, view.parts, numbers, view.title)
    path = _draw(view, text, png)
    print_line(f"Picture: {path}, in TensorBoard: --logdir {model.path.parent}")


class View(NamedTuple):
    """What is shown of a model that read a text."""

    model: SavedModel
    activations: TextActivations
    place: LayerChoice
    numbers: list[int]
    """Of the units."""
    parts: UnitValues

    @property
    def title(self) -> str:
        """Whose states they are."""
        config = self.model.config
        turned = " · backward" if self.place.backward else ""
        layer = f"layer {self.place.layer} of {config.model.num_layers}"
        return f"{config.task.name} · {config.model.name} · {layer}{turned}"

    @property
    def states(self) -> UnitValues:
        """The parts that are states."""
        return {name: part for name, part in self.parts.items() if name in self.activations.hidden.states}

    @property
    def gates(self) -> UnitValues:
        """The parts that are gates, none where none were asked for."""
        return {name: part for name, part in self.parts.items() if name not in self.activations.hidden.states}


def parse_units(given: str, count: int) -> list[int]:
    """Numbers and stretches of numbers, each unit once: "3,7,12-15".

    Raises:
        UserError: for anything else, or a unit that isn't among the `count` there are.
    """
    numbers: list[int] = []
    for piece in given.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"--units {given} cannot be read: give numbers and stretches, as in 3,7,12-15")
        if int(last or first) >= count:
            raise UserError(f"there is no unit {last or first}: choose from 0 to {count - 1}")
        numbers += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(numbers))


def _parts(activations: TextActivations, numbers: Sequence[int], gates: bool) -> UnitValues:
    """(T, units) by the name of the state or gate."""
    own = {**activations.hidden.states, **(activations.hidden.gates if gates else {})}
    return {name: _numpy(values)[:, list(numbers)] for name, values in own.items()}


def _draw(view: View, text: str, png: Path | None) -> Path:
    """The picture's file; in TensorBoard it has the name of it."""
    from sluice.plots.heatmaps import Panel, draw_panels

    symbols, weights = view.activations.symbols, view.activations.weights
    names, drawn = [str(unit) for unit in view.numbers], slice(MAX_DRAWN)
    if len(symbols) > MAX_DRAWN:
        print(f"note: the picture has the first {MAX_DRAWN} of {len(symbols)} symbols", file=sys.stderr)
    panels = [
        Panel(f"{kind_of(name)}, by unit", values[drawn], names, scale_of(name, values))
        for name, values in view.parts.items()
    ]
    if weights is not None:
        column = np.asarray(weights, dtype=np.float32)[drawn, None]
        panels.append(Panel("attention: how much each symbol weighed", column, ["weight"], "share"))
    figure = draw_panels(symbols[drawn], panels, title=view.title)
    folder = view.model.path.parent / FOLDER
    path = png or new_path(folder, _stem(view, text))
    save_picture(figure, path)
    show_in_tensorboard(folder, path.stem, figure)
    return path


def _stem(view: View, text: str) -> str:
    turned = "-backward" if view.place.backward else ""
    return f"{'gates' if view.gates else 'states'}-layer-{view.place.layer}{turned}-{name_for(text)}"


def _print_notes(view: View) -> None:
    network, unknown = view.model.network, view.activations.unknown
    if view.model.data_source == "sample":
        print("note: this model was trained on the generated sample, not on real texts", file=sys.stderr)
    if unknown:
        print_line(f"note: unknown to the model, read as <unk>: {', '.join(unknown)}", file=sys.stderr)
    if isinstance(network, Seq2Seq) and network.decoder.attention is not None:
        print("note: this is the encoder; sluice translate --attention draws where the decoder looked", file=sys.stderr)


def _plain(view: View, path: Path | None) -> Plain:
    activations, config = view.activations, view.model.config
    plain: Plain = {
        "checkpoint": str(view.model.path),
        "task": config.task.name,
        "layer": view.place.layer,
        "layers": config.model.num_layers,
        "direction": "backward" if view.place.backward else "forward",
        "units": view.numbers,
        "symbols": activations.symbols,
        "unknown": activations.unknown,
        "states": {name: part.tolist() for name, part in view.states.items()},
    }
    if view.gates:
        plain["gates"] = {name: part.tolist() for name, part in view.gates.items()}
    if activations.weights is not None:
        plain["attention"] = activations.weights
    if activations.answers:
        plain["answers"] = [answer._asdict() for answer in activations.answers]
    if activations.verdict is not None:
        plain["label"], plain["probability"] = activations.verdict[:2]
    return plain if path is None else {**plain, "png": str(path)}


def _numpy(values: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().numpy()
    return array
