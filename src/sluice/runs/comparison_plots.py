"""Plots that compare runs."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sluice.runs.comparison import Group, differing_settings


def draw_bars(groups: Sequence[Group], metric: str) -> Figure:
    """A bar chart with a bar per group, its standard deviation and its runs as points; one subplot per task."""
    groups = [group for group in groups if group.values(metric)]
    tasks = list(dict.fromkeys(group.task for group in groups))
    figure = Figure(figsize=(7, 0.6 + 0.45 * len(groups) + 0.8 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), 1, squeeze=False)
    for axis, task in zip(axes[:, 0], tasks, strict=True):
        of_task = [group for group in groups if group.task == task][::-1]
        differing = differing_settings(of_task)
        means = [group.mean(metric) or 0.0 for group in of_task]
        axis.barh(range(len(of_task)), means, xerr=[group.deviation(metric) or 0.0 for group in of_task], alpha=0.5)
        for row, group in enumerate(of_task):
            values = group.values(metric)
            axis.plot(values, [row] * len(values), "k.", markersize=4)
        axis.set_yticks(range(len(of_task)), [_label(group, differing) for group in of_task])
        all_values = [value for group in of_task for value in group.values(metric)]
        margin = 0.2 * (max(all_values) - min(all_values)) or 0.05 * abs(max(all_values)) or 1.0
        axis.set_xlim(min(all_values) - margin, max(all_values) + margin)
        axis.set_title(f"{task}: {metric}", loc="left")
    return figure


def draw_curves(groups: Sequence[Group], metric: str, against: str) -> Figure:
    """Plots the metric over a setting, with standard deviations.

    Args:
        groups: the groups of runs.
        metric: the metric on the y axis.
        against: the setting on the x axis; there is a curve for each combination of model and other settings.
    """
    groups = sorted((group for group in groups if group.values(metric)), key=lambda group: group.runs[0]["date"])
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


def _label(group: Group, differing: Sequence[str]) -> str:
    return " ".join([group.model, *(str(group.settings.get(name)) for name in differing)])
