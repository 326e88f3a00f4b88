"""Finished runs, found again and put together: what differs in nothing but the seed is one group."""

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.cli.composing import flat

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


def differing_settings(groups: Sequence[Group], alike: tuple[str, ...] = ("task", "model")) -> list[str]:
    """Settings that tell groups apart.

    Args:
        groups: groups.
        alike: only groups that have these in common are held against each other.
    """
    differing: dict[str, None] = {}
    for one in groups:
        for other in groups:
            if all(getattr(one, name) == getattr(other, name) for name in alike):
                keys = {**one.settings, **other.settings}
                differing |= dict.fromkeys(key for key in keys if one.settings.get(key) != other.settings.get(key))
    return list(differing)
