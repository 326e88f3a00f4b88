"""sluice inspect --gradients: gradient norms by distance from the loss, for untrained cells or trained runs."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from sluice.analysis.gradients import Curves, UntrainedNetworks, curves_of_runs, untrained_curves
from sluice.errors import UserError
from sluice.plots.save import FOLDER, add_to_tensorboard, check_figure, save_figure, unused_path
from sluice.terminal import print_line, print_table

DISTANCES = (0, 10, 20, 50, 100, 200)
"""Distances in the printed table, in addition to the largest one."""


def inspect_gradients(
    runs: Sequence[Path],
    *,
    networks: UntrainedNetworks,
    steps: int | None,
    layer: int | None,
    data_dir: Path | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Prints and plots the norm of the gradient of a loss at the last step with respect to each earlier state.

    Args:
        runs: run folders or checkpoints, evaluated on their validation texts; empty for untrained networks.
        networks: the untrained networks, used if there are no runs.
        steps: maximum number of steps of a run's sequences; None for the default.
        layer: layer number in the runs, 1 is the lowest; None for the top layer.
        data_dir: the folder of the corpora; None for SLUICE_DATA, or else the one used in training.
        png: the file of the plot; None for a new file in the run folder of a single run, or for no plot with
            `as_json` or otherwise.
        as_json: print one JSON object.

    Raises:
        UserError: for an invalid checkpoint, a run whose gradients cannot be computed, a layer or cell that doesn't
            exist, or a plot that exists already or cannot be written.
    """
    check_figure("--png", png)
    if runs:
        curves = curves_of_runs(runs, steps=steps, layer=layer, data_dir=data_dir)
    else:
        networks.check()
        curves = untrained_curves(networks)
    if not as_json:
        _print_table(curves)
    tensorboard = ""
    if png or (len(runs) == 1 and not as_json):
        png, tensorboard = _draw(curves, runs, png, _title(runs, networks))
    if as_json:
        norms_by_name = {
            name: [None if np.isnan(norm) else float(norm) for norm in norms] for name, norms in curves.items()
        }
        print(json.dumps({"norms": norms_by_name, **({"png": str(png)} if png else {})}, ensure_ascii=False))
        return
    print_line("To plot the norms, add --png FILE" if png is None else f"Wrote {png}{tensorboard}")


def _title(runs: Sequence[Path], networks: UntrainedNetworks) -> str:
    if runs:
        return "trained networks on their validation data"
    return f"untrained networks: {networks.hidden} units, {networks.init}, forget bias {networks.forget_bias:g}"


def _draw(curves: Curves, runs: Sequence[Path], png: Path | None, title: str) -> tuple[Path, str]:
    """Writes the plot to a file and, for a single run, to its TensorBoard; returns the file and a line on that."""
    from sluice.plots.gradients import draw_gradients

    try:
        figure = draw_gradients(curves, title=title)
    except ValueError as error:
        raise UserError(f"{error}: all gradients are zero or NaN") from error
    path = png or unused_path(_run_folder(runs) / FOLDER, "gradients")
    save_figure(figure, path)
    if len(runs) != 1:
        return path, ""
    return path, add_to_tensorboard(_run_folder(runs) / FOLDER, path.stem, figure, required=png is None)


def _run_folder(runs: Sequence[Path]) -> Path:
    """The folder of a single run."""
    return runs[0] if runs[0].is_dir() else runs[0].parent


def table_rows(curves: Curves) -> list[list[str]]:
    """Header and rows: the norm at some distances, and the ratio of the norms at the largest distance and at 0."""
    longest = max(map(len, curves.values())) - 1
    distances = sorted({*(distance for distance in DISTANCES if distance < longest), longest})
    rows = [["steps before the loss", *map(str, distances), "last / first"]]
    for name, norms in curves.items():
        shown = [f"{norms[at]:.2e}" if at < len(norms) else "" for at in distances]
        rows.append([name, *shown, f"{norms[-1] / norms[0]:.2e}" if norms[0] else ""])
    return rows


def _print_table(curves: Curves) -> None:
    heading, *rows = table_rows(curves)
    table = Table(title="‖∂ loss / ∂ state‖, mean over the sequences", title_justify="left", box=None)
    for index, name in enumerate(heading):
        table.add_column(name, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    print_table(table)
