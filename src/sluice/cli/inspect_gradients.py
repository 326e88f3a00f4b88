"""sluice inspect --gradients: how far back a loss reaches, in networks of different cells or in trained ones."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from sluice.analysis.gradients import Curves, Fresh, curves_of_runs, fresh_curves
from sluice.errors import UserError
from sluice.plots.save import FOLDER, check_new, new_path, save_picture, show_in_tensorboard
from sluice.terminal import print_line, print_table

DISTANCES = (0, 10, 20, 50, 100, 200)
"""Of the table, beside the largest there is."""


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
    if runs:
        curves = curves_of_runs(runs, steps=steps, layer=layer, data_dir=data_dir)
    else:
        fresh.check()
        curves = fresh_curves(fresh)
    if not as_json:
        _show(curves)
    if png or not as_json:
        png = _draw(curves, runs, png, _title(runs, fresh))
    if as_json:
        shown = {name: [None if np.isnan(norm) else float(norm) for norm in norms] for name, norms in curves.items()}
        print(json.dumps({"norms": shown, **({"png": str(png)} if png else {})}, ensure_ascii=False))
        return
    print_line(f"Picture: {png}{f', in TensorBoard: --logdir {_run_folder(runs)}' if len(runs) == 1 else ''}")


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
    path = png or new_path(_run_folder(runs) / FOLDER if len(runs) == 1 else Path(), "gradients")
    save_picture(figure, path)
    if len(runs) == 1:
        show_in_tensorboard(_run_folder(runs) / FOLDER, path.stem, figure)
    return path


def _run_folder(runs: Sequence[Path]) -> Path:
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
