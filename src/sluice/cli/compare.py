"""sluice compare: a table of finished runs for each task."""

import csv
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from sluice.cli.options import TABLE_SORTS
from sluice.errors import UserError, check_output, reason_of
from sluice.plots.save import check_figure
from sluice.runs.comparison import (
    ON_SAMPLE,
    Comparison,
    Group,
    compare_groups,
    differing_settings,
    find_runs,
    group_runs,
    metric_names,
)
from sluice.terminal import duration, fits_terminal, print_line, print_table, terminal_width


def compare_runs(
    folders: Sequence[Path],
    *,
    metric: str | None,
    sort: str,
    csv_path: Path | None,
    markdown: bool,
    plot: Path | None,
    against: str | None,
) -> None:
    """Prints a table of the runs in the folders for each task.

    Args:
        folders: searched for results.json at any depth.
        metric: the metric to compare; None for the test counterpart of each task's monitored metric.
        sort: order of the rows, one of `sluice.cli.options.TABLE_SORTS`.
        csv_path: also write all tables to this file.
        markdown: print Markdown tables.
        plot: also plot means and deviations to this file.
        against: the setting on the plot's x axis, with a curve for each combination of other settings; None for a row
            per group.

    Raises:
        UserError: if there are no results, none has the metric, or all have the same value of `against`.
    """
    _check_options(sort, csv_path, plot, against)
    comparisons = compare_groups(_groups_in(folders, metric, against), metric, sort)
    metrics = sorted({comparison.metric for comparison in comparisons})
    if against is not None and len(metrics) > 1:
        raise UserError(f"--against {against} needs runs of one metric, they have {', '.join(metrics)}: set --metric")
    for comparison in comparisons:
        (_print_markdown if markdown else _print_table)(comparison)
    if csv_path is not None:
        _write_csv(csv_path, comparisons)
        print_line(f"Table: {csv_path}")
    if plot is not None:
        from sluice.plots.save import save_figure  # matplotlib is slow to import
        from sluice.runs.comparison_plots import draw_curves, draw_rows

        save_figure(draw_rows(comparisons) if against is None else draw_curves(comparisons, against), plot)
        print_line(f"Plot:  {plot}")


def _groups_in(folders: Sequence[Path], metric: str | None, against: str | None) -> list[Group]:
    """Returns the groups of runs in the folders, if they have the metric and differ in the setting `against`."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give folders that contain a results.json at any depth")
    groups = group_runs(list(find_runs(folders)))
    if not groups:
        names = ", ".join(str(folder) for folder in folders)
        raise UserError(f"no finished run in {names}: give folders that contain a results.json at any depth")
    known = metric_names(groups)
    if metric is not None and metric not in known:
        raise UserError(f"--metric {metric} is a metric of none of the runs: it must be one of {', '.join(known)}")
    if against is not None and against not in differing_settings(groups, same=()):
        others = ", ".join(differing_settings(groups, same=())) or "nothing"
        raise UserError(f"--against {against} is the same in all runs: the runs differ in {others}")
    return groups


def _check_options(sort: str, csv_path: Path | None, plot: Path | None, against: str | None) -> None:
    check_output("--csv", csv_path)
    check_figure("--plot", plot)
    if csv_path is not None and csv_path == plot:
        raise UserError(f"--csv and --plot are both {plot}: name different files")
    if sort not in TABLE_SORTS:
        raise UserError(f"--sort {sort} cannot be used: it must be one of {', '.join(TABLE_SORTS)}")
    if against is not None and plot is None:
        raise UserError(f"--against {against} has no effect without --plot: name the file of the plot")


INDENT, NO_BREAK = "  ", "\u00a0"


def table_rows(comparison: Comparison) -> list[list[str]]:
    """Returns the heading and the rows of a table: model, differing settings, runs, mean, deviation, interval, ..."""
    headings = ["model", *comparison.short_names, "runs", "mean", "±", "95 %", "parameters", "time"]
    return [headings, *(_cells(group, comparison) for group in comparison.groups)]


def _cells(group: Group, comparison: Comparison) -> list[str]:
    metric = comparison.metric
    mean, deviation, interval = group.mean(metric), group.deviation(metric), group.interval(metric)
    return [
        group.model,
        *(str(group.settings.get(name, "")) for name in comparison.settings),
        str(len(group.runs)),
        "" if mean is None else f"{mean:.4f}",
        "" if deviation is None else f"{deviation:.4f}",
        "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
        f"{group.mean('parameters') or 0:,.0f}",
        duration(60 * (group.mean("minutes") or 0)),
    ]


def _title(comparison: Comparison) -> str:
    direction = "lower" if comparison.lower_is_better else "higher"
    return f"{comparison.task}: {comparison.metric} ({direction} is better)"


def _print_markdown(comparison: Comparison) -> None:
    print_line(f"\n**{_title(comparison)}**\n")
    for number, row in enumerate(table_rows(comparison)):
        print_line("| " + " | ".join(row) + " |")
        if number == 0:
            print_line("|" + "---|" * len(row))


def _print_table(comparison: Comparison) -> None:
    headings, *rows = table_rows(comparison)
    table = Table(box=None, title=_title(comparison), title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "model" else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    if fits_terminal(table):
        print_table(table)
    else:
        _print_list(comparison)


def _print_list(comparison: Comparison) -> None:
    """Prints the cells of each row below each other, by name, for a terminal that is narrower than the table."""
    headings, *rows = table_rows(comparison)
    print_line(_title(comparison))
    for model, *cells in rows:
        named = [f"{heading} {cell}" for heading, cell in zip(headings[1:], cells, strict=True) if cell]
        lines = textwrap.wrap("   ".join(name.replace(" ", NO_BREAK) for name in named), terminal_width() - len(INDENT))
        print_line("\n".join([model, *(INDENT + line.replace(NO_BREAK, " ") for line in lines)]))


def _write_csv(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Writes a row per group, with unrounded numbers and the full names of all settings that differ in a task."""
    settings = list(dict.fromkeys(name for comparison in comparisons for name in comparison.settings))
    numbers = ("mean", "standard_deviation", "interval_low", "interval_high", "parameters", "minutes")
    rows: list[Sequence[object]] = [("task", "generated_sample", "model", *settings, "metric", "runs", *numbers)]
    for comparison in comparisons:
        for group in comparison.groups:
            metric = comparison.metric
            results = (group.mean(metric), group.deviation(metric), *(group.interval(metric) or (None, None)))
            chosen = (group.settings.get(name) if name in comparison.settings else None for name in settings)
            own = (group.mean("parameters"), group.mean("minutes"))
            task = (group.task.removesuffix(ON_SAMPLE), group.task.endswith(ON_SAMPLE))
            rows.append((*task, group.model, *chosen, metric, len(group.runs), *results, *own))
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    except OSError as error:
        raise UserError(f"--csv {path} cannot be written ({reason_of(error)}): choose another file") from error
