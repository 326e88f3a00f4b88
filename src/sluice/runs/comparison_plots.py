"""Plots that compare runs."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sluice.runs.comparison import Comparison, Group, differing_settings


def draw_rows(comparisons: Sequence[Comparison]) -> Figure:
    """Plots a row per group: mean, standard deviation, and single runs as small points; one subplot per task.

    The axes cover the data only, which suits points; bars would have to begin at 0.
    """
    shown = [(comparison, _with_metric(comparison)) for comparison in comparisons]
    shown = [(comparison, groups) for comparison, groups in shown if groups]
    count = sum(len(groups) for _, groups in shown)
    figure = Figure(figsize=(7, 0.6 + 0.45 * count + 0.8 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False)
    for axis, (comparison, groups) in zip(axes[:, 0], shown, strict=True):
        metric, rows = comparison.metric, groups[::-1]
        means = [group.mean(metric) or 0.0 for group in rows]
        deviations = [group.deviation(metric) or 0.0 for group in rows]
        axis.errorbar(means, range(len(rows)), xerr=deviations, fmt="o", capsize=4)
        for row, group in enumerate(rows):
            values = group.values(metric)
            axis.plot(values, [row] * len(values), ".", color="0.3", markersize=4)
        axis.set_yticks(range(len(rows)), [_label(group, comparison.settings) for group in rows])
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(axis="x", alpha=0.3)
        axis.margins(x=0.1)
        better = "lower" if comparison.lower_is_better else "higher"
        axis.set_title(f"{comparison.task}: {metric} ({better} is better)", loc="left")
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
    for group in groups:
        others = [name for name in differing_settings(groups) if name != against]
        curves.setdefault(_label(group, others), []).append(group)
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
    axis.set_ylabel(metric)
    axis.legend()
    return figure


def _with_metric(comparison: Comparison) -> list[Group]:
    return [group for group in comparison.groups if group.values(comparison.metric)]


def _label(group: Group, differing: Sequence[str]) -> str:
    return " ".join([group.model, *(str(group.settings.get(name)) for name in differing)])
