"""sluice inspect --gradients: how far back a loss reaches, in networks of different cells or in trained ones."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.analysis.gradients import gradient_norms
from sluice.analysis.sequences import Probe, own_probe
from sluice.data.synthetic.temporal_order import CLASSES, SYMBOLS, TemporalOrder
from sluice.errors import UserError
from sluice.plots.save import FOLDER, check_new, new_path, save_picture, show_in_tensorboard
from sluice.recipes.load import load_model
from sluice.recurrent import CELLS, CellOptions, OneHot, RecurrentStack
from sluice.recurrent.initialisers import INITIALISERS
from sluice.terminal import print_table, say

DISTANCES = (0, 10, 20, 50, 100, 200)
"""Of the table, beside the largest there is."""
FEWEST_STEPS = 10
SEQUENCES = 64

Curves = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Fresh:
    """Networks as they are before training, one for each cell."""

    cells: tuple[str, ...] = ("rnn", "rnn_relu", "gru", "lstm")
    steps: int = 100
    hidden: int = 64
    seed: int = 1
    init: str = "orthogonal"
    forget_bias: float = 1.0

    def check(self) -> None:
        """
        Raises:
            UserError: for a cell that isn't there, or too few steps for a sequence.
        """
        strange = next((cell for cell in self.cells if cell not in CELLS), None)
        if strange is not None:
            raise UserError(f"--cells has no {strange}: there are {', '.join(sorted(CELLS))}")
        if self.init not in INITIALISERS:
            raise UserError(f"--init {self.init} cannot be used: it must be one of {', '.join(sorted(INITIALISERS))}")
        if self.steps < FEWEST_STEPS:
            raise UserError(f"--steps {self.steps} is too few: choose {FEWEST_STEPS} or more")


def inspect_gradients(
    runs: Sequence[Path],
    *,
    fresh: Fresh,
    steps: int | None,
    layer: int | None,
    data_dir: Path | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Prints and draws the norm of the gradient of a loss at the last step by every state before it.

    Args:
        runs: folders of runs or checkpoints, each on its own validation texts; none for fresh networks.
        fresh: the networks, where there are no runs.
        steps: most steps of a run's sequences that can be cut; None for the default.
        layer: of the runs, from 1, the lowest, on; None for the top one.
        data_dir: where the runs' corpora lie; None for SLUICE_DATA, or else where they lay at training.
        png: the picture's file; None for one in the only run's folder, else in the current one, or none with JSON.
        as_json: one JSON object.

    Raises:
        UserError: for a checkpoint that isn't one, a run that gradients cannot be followed through, a layer or cell
            that isn't there, or a picture that is there already or cannot be written.
    """
    check_new(png)
    curves: Curves = {}
    if runs:
        for run in runs:
            own = run_curves(run, steps=steps, layer=layer, data_dir=data_dir)
            curves |= {f"{name} ({run})": norms for name, norms in own.items()} if set(own) & set(curves) else own
    else:
        fresh.check()
        curves = fresh_curves(fresh)
    if not as_json:
        _show(curves)
    if png or not as_json:
        png = _draw(curves, runs, png, _title(runs, fresh))
    if as_json:
        told = {name: [None if np.isnan(norm) else float(norm) for norm in norms] for name, norms in curves.items()}
        print(json.dumps({"norms": told, **({"png": str(png)} if png else {})}, ensure_ascii=False))
        return
    say(f"Picture: {png}{f', in TensorBoard: --logdir {_home(runs)}' if len(runs) == 1 else ''}")


class Sequences(NamedTuple):
    """Symbols in which the order of two, long before the end, decides."""

    ids: Tensor
    """(B, T) int64."""
    labels: Tensor
    """(B,) int64."""


def order_sequences(steps: int, seed: int, count: int = SEQUENCES) -> Sequences:
    """Sequences of `steps` symbols of the temporal order problem: X or Y after a tenth to a fifth, and after a half.

    Raises:
        UserError: if the steps are too few.
    """
    early, middle = (max(steps // 10, 1), max(steps // 5, 1)), (steps // 2, steps * 3 // 5)
    problem = TemporalOrder(lengths=(steps, steps), t1=early, t2=middle, size=count, seed=seed)
    documents = list(islice(problem.documents(), count))
    ids = [[SYMBOLS.index(symbol) for symbol in document.text.split()] for document in documents]
    return Sequences(torch.tensor(ids), torch.tensor([document.label for document in documents]))


def fresh_curves(fresh: Fresh) -> Curves:
    """A curve for each part of each cell's state, see `mean_by_distance`; every cell begins from the same seed."""
    sequences = order_sequences(fresh.steps, fresh.seed)
    lengths = torch.full((len(sequences.ids),), fresh.steps)
    curves: Curves = {}
    for cell in fresh.cells:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fresh.seed)
            stack = RecurrentStack(
                cell=cell,
                input_size=len(SYMBOLS),
                hidden_size=fresh.hidden,
                one_hot=True,
                options=CellOptions(recurrent_init=fresh.init, forget_bias=fresh.forget_bias),
            )
            loss = _read_out(nn.Linear(fresh.hidden, len(CLASSES)), sequences.labels)
        norms = gradient_norms(stack, OneHot(sequences.ids, len(SYMBOLS)), lengths, loss)
        curves |= _named(cell, {part: own[0] for part, own in norms.items()})
    return curves


def _read_out(output: nn.Linear, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The cross-entropy of the class by the last state, summed over the sequences."""
    return lambda top: F.cross_entropy(output(top), labels, reduction="sum")


def run_curves(run: Path, *, steps: int | None, layer: int | None, data_dir: Path | None) -> Curves:
    """A curve for each part of a trained network's state, over sequences of its own validation split.

    Raises:
        UserError: as `inspect_gradients`.
    """
    model = load_model(run)
    probe: Probe = own_probe(model, count=SEQUENCES, steps=steps, data_dir=data_dir)
    layers = probe.stack.num_layers
    if layer is not None and not 1 <= layer <= layers:
        raise UserError(f"there is no layer {layer} in {run}: choose from 1 to {layers}")
    norms = gradient_norms(probe.stack, probe.inputs, probe.lengths, probe.loss)
    name = f"{model.config.model.name} {run.name}"
    return _named(name, {part: own[(layer or layers) - 1] for part, own in norms.items()})


def mean_by_distance(norms: Tensor) -> NDArray[np.float32]:
    """(B, T) norms, NaN before a sequence's first step -> (T,), the mean over the sequences that go so far."""
    mean: NDArray[np.float32] = norms.nanmean(0).numpy()
    return mean


def _named(name: str, norms: dict[str, Tensor]) -> Curves:
    several = len(norms) > 1
    return {f"{name}, {part} state" if several else name: mean_by_distance(own) for part, own in norms.items()}


def _title(runs: Sequence[Path], fresh: Fresh) -> str:
    if runs:
        return "trained networks on their own texts"
    return f"networks before training: {fresh.hidden} units, {fresh.init}, forget bias {fresh.forget_bias:g}"


def _draw(curves: Curves, runs: Sequence[Path], png: Path | None, title: str) -> Path:
    """The picture's file; of a single run, in its TensorBoard too."""
    from sluice.plots.gradients import draw_gradients

    try:
        figure = draw_gradients(curves, title=title)
    except ValueError as error:
        raise UserError(f"{error}: every gradient is zero or not a number") from error
    path = png or new_path(_home(runs) / FOLDER if len(runs) == 1 else Path(), "gradients")
    save_picture(figure, path)
    if len(runs) == 1:
        show_in_tensorboard(_home(runs) / FOLDER, path.stem, figure)
    return path


def _home(runs: Sequence[Path]) -> Path:
    """The folder of the only run."""
    return runs[0] if runs[0].is_dir() else runs[0].parent


def table_rows(curves: Curves) -> list[list[str]]:
    """Heading and rows: the norm at some distances, and what of it is left at the largest."""
    longest = max(map(len, curves.values())) - 1
    distances = sorted({*(distance for distance in DISTANCES if distance < longest), longest})
    rows = [["steps before the loss", *map(str, distances), "last / first"]]
    for name, norms in curves.items():
        shown = [f"{norms[at]:.2e}" if at < len(norms) else "" for at in distances]
        rows.append([name, *shown, f"{norms[-1] / norms[0]:.2e}" if norms[0] else ""])
    return rows


def _show(curves: Curves) -> None:
    heading, *rows = table_rows(curves)
    table = Table(title="‖∂ loss / ∂ state‖, mean over the sequences", title_justify="left", box=None)
    for place, name in enumerate(heading):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    print_table(table)
