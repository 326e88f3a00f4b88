"""Plots that compare runs."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sluice.runs.comparison import FINGERPRINT, Comparison, Group, differing_settings, short_names

PLOT_WIDTH, LETTER, LABEL_LENGTH = 5.5, 0.085, 40
"""Width of a plot without its labels and of a letter, in inches, and the length at which labels are wrapped."""


def draw_rows(comparisons: Sequence[Comparison]) -> Figure:
    """Plots a row per group: mean, standard deviation, and single runs as small points; one subplot per task.

    The axes cover the data only, which suits points; bars would have to begin at 0.
    """
    shown = [(comparison, _with_metric(comparison)) for comparison in comparisons]
    shown = [(comparison, groups) for comparison, groups in shown if groups]
    count = sum(len(groups) for _, groups in shown)
    labels = [_labels(groups, comparison.settings) for comparison, groups in shown]
    longest = max(len(line) for of_task in labels for label in of_task for line in label.split("\n"))
    lines = sum(label.count("\n") for of_task in labels for label in of_task)
    size = (PLOT_WIDTH + LETTER * longest, 0.3 + 0.45 * count + 0.18 * lines + 0.9 * len(shown))
    figure = Figure(figsize=size, layout="constrained")
    heights = [len(of_task) + 0.4 * sum(label.count("\n") for label in of_task) for of_task in labels]
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
    for axis, of_task, (comparison, groups) in zip(axes[:, 0], labels, shown, strict=True):
        metric, rows = comparison.metric, groups[::-1]
        means = [group.mean(metric) or 0.0 for group in rows]
        deviations = [group.deviation(metric) or 0.0 for group in rows]
        axis.errorbar(means, range(len(rows)), xerr=deviations, fmt="o", capsize=4)
        for row, group in enumerate(rows):
            values = group.values(metric)
            axis.plot(values, [row] * len(values), ".", color="0.3", markersize=4)
        axis.set_yticks(range(len(rows)), of_task[::-1])
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(axis="x", alpha=0.3)
        axis.margins(x=0.1)
        axis.set_title(comparison.task, loc="left")
        axis.set_xlabel(f"{metric} ({_better(comparison)} is better)")
    return figure


def draw_curves(comparisons: Sequence[Comparison], against: str) -> Figure:
    """Plots the metric over a setting, with standard deviations.

    Args:
        comparisons: the comparisons, of one metric.
        against: the setting on the x axis; there is a curve for each combination of model and other settings.
    """
    found = [group for comparison in comparisons for group in _with_metric(comparison)]
    groups = sorted(found, key=lambda group: str(group.runs[0]["date"]))
    metric = comparisons[0].metric
    ticks = list(dict.fromkeys(group.settings.get(against) for group in groups))
    if all(isinstance(tick, int | float) for tick in ticks):
        ticks.sort(key=lambda tick: float(tick or 0))
    curves: dict[str, list[Group]] = {}
    for group, label in zip(groups, _labels(groups, differing_settings(groups), against), strict=True):
        of_task = f"{group.task}\n{label}" if len(comparisons) > 1 else label
        curves.setdefault(of_task, []).append(group)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for label, curve in curves.items():
        curve = sorted(curve, key=lambda group: ticks.index(group.settings.get(against)))
        positions = [ticks.index(group.settings.get(against)) for group in curve]
        means = [group.mean(metric) or 0.0 for group in curve]
        deviations = [group.deviation(metric) or 0.0 for group in curve]
        axis.errorbar(positions, means, yerr=deviations, label=label, marker="o", capsize=3)
    axis.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axis.set_xlabel(against)
    axis.set_ylabel(f"{metric} ({_better(comparisons[0])} is better)")
    axis.grid(alpha=0.3)
    axis.set_title(", ".join(comparison.task for comparison in comparisons), loc="left")
    axis.legend()
    return figure


def _with_metric(comparison: Comparison) -> list[Group]:
    return [group for group in comparison.groups if group.values(comparison.metric)]


def _better(comparison: Comparison) -> str:
    return "lower" if comparison.lower_is_better else "higher"


def _labels(groups: Sequence[Group], settings: Sequence[str], against: str | None = None) -> list[str]:
    """Labels of groups: the model, and below it the settings that differ, wrapped.

    Args:
        groups: the groups.
        settings: names of the settings that differ.
        against: a setting that is on an axis; None for none.
    """
    readable = [name for name in settings if name != FINGERPRINT]  # of data, which mostly follows from other settings
    keys = {(group.model, *(str(group.settings.get(name)) for name in (*readable, against or ""))) for group in groups}
    shown = [name for name in (readable if len(keys) == len(groups) else settings) if name != against]
    labels = []
    for group in groups:
        pairs = [f"{short}={group.settings.get(name)}" for short, name in zip(short_names(shown), shown, strict=True)]
        labels.append("\n".join([group.model, *textwrap.wrap(", ".join(pairs), LABEL_LENGTH)]))
    return labels
