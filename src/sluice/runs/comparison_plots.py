"""Figures of runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from sluice.errors import UserError
from sluice.runs.comparison import Group, differing_settings


def draw_bars(groups: Sequence[Group], metric: str) -> Figure:
    """A bar a group with its deviation and its runs as points, one picture for each task."""
    groups = [group for group in groups if group.values(metric)]
    tasks = list(dict.fromkeys(group.task for group in groups))
    figure = Figure(figsize=(7, 0.6 + 0.45 * len(groups) + 0.8 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), 1, squeeze=False)
    for axis, task in zip(axes[:, 0], tasks, strict=True):
        own = [group for group in groups if group.task == task][::-1]
        differing = differing_settings(own)
        means = [group.mean(metric) or 0.0 for group in own]
        axis.barh(range(len(own)), means, xerr=[group.deviation(metric) or 0.0 for group in own], alpha=0.5)
        for place, group in enumerate(own):
            values = group.values(metric)
            axis.plot(values, [place] * len(values), "k.", markersize=4)
        axis.set_yticks(range(len(own)), [_label(group, differing) for group in own])
        spread = [value for group in own for value in group.values(metric)]
        margin = 0.2 * (max(spread) - min(spread)) or 0.05 * abs(max(spread)) or 1.0
        axis.set_xlim(min(spread) - margin, max(spread) + margin)
        axis.set_title(f"{task}: {metric}", loc="left")
    return figure


def draw_curves(groups: Sequence[Group], metric: str, against: str) -> Figure:
    """The metric against a setting, with deviations: a curve for each model and other settings."""
    groups = sorted((group for group in groups if group.values(metric)), key=lambda group: group.runs[0]["date"])
    places = list(dict.fromkeys(group.settings.get(against) for group in groups))
    if all(isinstance(place, int | float) for place in places):
        places.sort(key=lambda place: float(place or 0))
    curves: dict[str, list[Group]] = {}
    for group in groups:
        others = [name for name in differing_settings(groups) if name != against]
        curves.setdefault(_label(group, others), []).append(group)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for label, own in curves.items():
        own = sorted(own, key=lambda group: places.index(group.settings.get(against)))
        at = [places.index(group.settings.get(against)) for group in own]
        deviations = [group.deviation(metric) or 0.0 for group in own]
        axis.errorbar(
            at, [group.mean(metric) or 0.0 for group in own], yerr=deviations, label=label, marker="o", capsize=3
        )
    axis.set_xticks(range(len(places)), [str(place) for place in places])
    axis.set_xlabel(against)
    axis.set_ylabel(metric)
    axis.legend()
    return figure


def save(figure: Figure, path: Path) -> None:
    """
    Raises:
        UserError: for a suffix that is no picture's.
    """
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        raise UserError(f"--plot {path} cannot be drawn: {str(error).splitlines()[0]}") from error


def _label(group: Group, differing: Sequence[str]) -> str:
    return " ".join([group.model, *(str(group.settings.get(name)) for name in differing)])
