"""sluice compare: a table of the results of several runs, averaged over seeds."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from sluice.errors import UserError, check_output
from sluice.plots.save import check_figure
from sluice.runs.comparison import Group, differing_settings, find_runs, group_runs
from sluice.terminal import print_line, print_table


def compare_runs(
    folders: Sequence[Path],
    *,
    metric: str | None,
    csv_path: Path | None,
    markdown: bool,
    plot: Path | None,
    against: str | None,
) -> None:
    """Prints a table of all runs in the folders, the best group of each task first.

    Args:
        folders: searched for results.json at any depth.
        metric: the metric to compare; None for the test counterpart of the task's monitored metric.
        csv_path: also write the table to this file.
        markdown: print a Markdown table.
        plot: also plot means and deviations to this PNG.
        against: the setting on the plot's x axis, with a curve for each combination of other settings; None for bars.

    Raises:
        UserError: if there are no results, none has the metric, or all have the same value of `against`.
    """
    _check_outputs(csv_path, plot, against)
    groups = group_runs(list(find_runs(folders)))
    if not groups:
        names = ", ".join(str(folder) for folder in folders)
        raise UserError(f"no finished run in {names}: give folders that contain a results.json at any depth")
    metric = metric or str(groups[0].runs[0].get("monitor", "val/accuracy")).replace("val/", "test/")
    if not any(group.values(metric) for group in groups):
        known = sorted({name for group in groups for run in group.runs for name in run if "/" in name})
        raise UserError(f"--metric {metric} is in none of the runs: it must be one of {', '.join(known)}")
    lower_is_better = metric.endswith(("loss", "perplexity"))
    groups.sort(key=lambda group: (group.task, _sort_key(group.mean(metric), lower_is_better)))
    if against is not None and against not in differing_settings(groups, same=()):
        others = ", ".join(differing_settings(groups, same=())) or "nothing"
        raise UserError(f"--against {against} is the same in all runs: the runs differ in {others}")
    rows = table_rows(groups, metric)
    _print_table(rows, markdown)
    if csv_path is not None:
        _write_csv(csv_path, rows)
    if plot is not None:
        from sluice.plots.save import save_figure  # matplotlib is slow to import
        from sluice.runs.comparison_plots import draw_bars, draw_curves

        save_figure(draw_bars(groups, metric) if against is None else draw_curves(groups, metric, against), plot)


def _check_outputs(csv_path: Path | None, plot: Path | None, against: str | None) -> None:
    check_output("--csv", csv_path)
    check_figure("--plot", plot)
    if against is not None and plot is None:
        raise UserError(f"--against {against} has no effect without --plot: name the file of the plot")


def table_rows(groups: Sequence[Group], metric: str) -> list[list[str]]:
    """Header and rows: task, model, differing settings, runs, mean ± deviation, parameters, minutes."""
    differing = differing_settings(groups)
    rows = [["task", "model", *differing, "runs", metric, "±", "parameters", "minutes"]]
    for group in groups:
        mean, deviation = group.mean(metric), group.deviation(metric)
        rows.append(
            [
                group.task,
                group.model,
                *(str(group.settings.get(name, "")) for name in differing),
                str(len(group.runs)),
                "" if mean is None else f"{mean:.4f}",
                "" if deviation is None else f"{deviation:.4f}",
                f"{group.mean('parameters') or 0:,.0f}",
                f"{group.mean('minutes') or 0:.1f}",
            ]
        )
    return rows


def _print_table(rows: list[list[str]], markdown: bool) -> None:
    if markdown:
        for number, row in enumerate(rows):
            print_line("| " + " | ".join(row) + " |")
            if number == 0:
                print("|" + "---|" * len(row))
        return
    table = Table(box=None)
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading in ("task", "model") else "right")
    for row in rows[1:]:
        table.add_row(*row)
    print_table(table)


def _sort_key(value: float | None, lower_is_better: bool) -> float:
    if value is None:
        return float("inf")
    return value if lower_is_better else -value


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    except OSError as error:
        raise UserError(f"--csv {path} cannot be written ({error.strerror}): choose another file") from error
