"""sluice compare: the results of many runs in one table, seeds taken together."""

import csv
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from sluice.cli.composing import flat
from sluice.errors import UserError

IGNORED = (
    "seed",
    "name",
    "paths",
    "resume",
    "resume_force",
    "checkpoint",
    "logger",
    "callbacks",
    "trainer",
    "init_from",
)
"""Settings in which runs of one group may differ; what a trainer does to a result is in its epochs."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    task: str
    model: str
    settings: dict[str, Any]
    runs: list[dict[str, Any]]

    def values(self, name: str) -> list[float]:
        """What the runs have under this name."""
        return [float(run[name]) for run in self.runs if isinstance(run.get(name), int | float)]

    def mean(self, name: str) -> float | None:
        """None where no run has it."""
        values = self.values(name)
        return statistics.fmean(values) if values else None

    def deviation(self, name: str) -> float | None:
        """Of the sample; None for fewer than two runs."""
        values = self.values(name)
        return statistics.stdev(values) if len(values) > 1 else None


def compare_runs(
    folders: Sequence[Path], *, metric: str | None, csv_path: Path | None, markdown: bool, plot: Path | None
) -> None:
    """Prints (and writes) a table of the runs found under the folders, the best group of each task first.

    Args:
        folders: where to look for results.json, at any depth.
        metric: what is compared; None for the test's version of what each task monitors.
        csv_path: also write the table here.
        markdown: print a Markdown table.
        plot: also draw means and deviations into this PNG.

    Raises:
        UserError: if there are no results, or none has the metric.
    """
    groups = grouped(list(found_runs(folders)))
    if not groups:
        raise UserError(f"there is no results.json under {', '.join(str(folder) for folder in folders)}")
    metric = metric or str(groups[0].runs[0].get("monitor", "val/accuracy")).replace("val/", "test/")
    if not any(group.values(metric) for group in groups):
        known = sorted({name for group in groups for run in group.runs for name in run if "/" in name})
        raise UserError(f"--metric {metric} is in none of the runs: there are {', '.join(known)}")
    lower_is_better = metric.endswith(("loss", "perplexity"))
    groups.sort(key=lambda group: (group.task, _order(group.mean(metric), lower_is_better)))
    rows = table_rows(groups, metric)
    _show(rows, markdown)
    if csv_path is not None:
        with csv_path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    if plot is not None:
        draw(groups, metric, plot)


def found_runs(folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The finished runs under the folders: results with the settings under "config"."""
    for path in sorted({path.resolve() for folder in folders for path in folder.rglob("results.json")}):
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
            config = yaml.safe_load((path.parent / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            print(f"{path.parent} is left out: {error}", file=sys.stderr)
            continue
        if not isinstance(results, dict) or not isinstance(config, dict) or not {"task", "model"} <= set(results):
            print(f"{path.parent} is left out: it is not a run of Sluice's", file=sys.stderr)
            continue
        if results.get("interrupted"):
            print(f"{path.parent} is left out: it was broken off before its test", file=sys.stderr)
            continue
        yield {**results, "config": config}


def grouped(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Runs with the same settings, seed and places aside, put together."""
    groups: dict[str, Group] = {}
    for run in runs:
        settings = {
            key: value
            for key, value in flat(run["config"]).items()
            if key not in IGNORED and key.split(".")[0] not in IGNORED
        }
        settings |= {"data_source": run.get("data_source")}
        key = json.dumps(settings, sort_keys=True, default=str)
        groups.setdefault(key, Group(run["task"], run["model"], settings, [])).runs.append(run)
    return list(groups.values())


def table_rows(groups: Sequence[Group], metric: str) -> list[list[str]]:
    """Heading and rows: task, model, what else differs, runs, mean ± deviation, parameters, minutes."""
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


def differing_settings(groups: Sequence[Group]) -> list[str]:
    """Settings that tell groups of one task and model apart."""
    differing: dict[str, None] = {}
    for one in groups:
        for other in groups:
            if (one.task, one.model) == (other.task, other.model):
                keys = {**one.settings, **other.settings}
                differing |= dict.fromkeys(key for key in keys if one.settings.get(key) != other.settings.get(key))
    return list(differing)


def draw(groups: Sequence[Group], metric: str, path: Path) -> None:
    """A bar a group with its deviation and its runs as points, one picture for each task."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    groups = [group for group in groups if group.values(metric)]
    tasks = list(dict.fromkeys(group.task for group in groups))
    figure, axes = pyplot.subplots(
        len(tasks), 1, figsize=(7, 0.6 + 0.45 * len(groups) + 0.8 * len(tasks)), squeeze=False
    )
    for axis, task in zip(axes[:, 0], tasks, strict=True):
        own = [group for group in groups if group.task == task][::-1]
        differing = differing_settings(own)
        labels = [" ".join([group.model, *(str(group.settings.get(name)) for name in differing)]) for group in own]
        means = [group.mean(metric) or 0.0 for group in own]
        axis.barh(range(len(own)), means, xerr=[group.deviation(metric) or 0.0 for group in own], alpha=0.5)
        for place, group in enumerate(own):
            values = group.values(metric)
            axis.plot(values, [place] * len(values), "k.", markersize=4)
        axis.set_yticks(range(len(own)), labels)
        spread = [value for group in own for value in group.values(metric)]
        margin = 0.2 * (max(spread) - min(spread)) or 0.05 * abs(max(spread)) or 1.0
        axis.set_xlim(min(spread) - margin, max(spread) + margin)
        axis.set_title(f"{task}: {metric}", loc="left")
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        raise UserError(f"--plot {path} cannot be drawn: {str(error).splitlines()[0]}") from error
    pyplot.close(figure)


def _show(rows: list[list[str]], markdown: bool) -> None:
    if markdown:
        for number, row in enumerate(rows):
            print("| " + " | ".join(row) + " |")
            if number == 0:
                print("|" + "---|" * len(row))
        return
    table = Table(box=None)
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading in ("task", "model") else "right")
    for row in rows[1:]:
        table.add_row(*row)
    Console(
        width=max(Console().width, sum(max(len(row[place]) for row in rows) + 2 for place in range(len(rows[0]))))
    ).print(table)


def _order(value: float | None, lower_is_better: bool) -> float:
    if value is None:
        return float("inf")
    return value if lower_is_better else -value
