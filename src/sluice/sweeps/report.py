"""What is printed about the runs of a sweep: a line before each, and a table at the end."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.table import Table

from sluice.files import write_atomically
from sluice.plain import Plain
from sluice.runs.report import relative
from sluice.terminal import duration, print_line, print_table

if TYPE_CHECKING:
    from hydra.conf import HydraConf

RUNS = "runs"
"""Folder within that of the sweep: a file N.json for each run, also of jobs in other processes."""
MARKS = {"failed": "failed", "done": "finished before"}
"""States of runs without results."""


class SweepReport:
    """Announces the runs of a sweep and lists them at its end; does nothing outside sweeps.

    Jobs of a launcher have a copy of it.
    """

    sweep_folder: ClassVar[Path | None] = None
    """Folder of the sweep that this process has started, see `open_folder`."""

    def __init__(self, settings: Sequence[str]) -> None:
        """Args: settings: the settings of the command line, with the values that are swept."""
        self._settings = list(settings)
        self._folder: Path | None = None
        self._row: Plain = {}

    @classmethod
    def open_folder(cls, folder: Path) -> None:
        """Begins a sweep of this process, without the runs of an earlier sweep in the same folder."""
        cls.sweep_folder = folder
        for path in (folder / RUNS).glob("[0-9]*.json"):
            path.unlink(missing_ok=True)

    def begin(self, hydra_config: "HydraConf", overrides: Sequence[str]) -> None:
        """Prints the number of a run and its settings.

        Args:
            hydra_config: Hydra's configuration of the job.
            overrides: the overrides of the run.
        """
        if hydra_config.mode is None or hydra_config.mode.name != "MULTIRUN":
            return
        self._folder = Path(hydra_config.sweep.dir)
        counts = swept(self._settings, hydra_config.sweeper.get("params") or {})
        total = hydra_config.sweeper.get("n_trials") or math.prod(counts.values())
        chosen = [text for text in overrides if counts.get(text.partition("=")[0], 1) > 1]
        number = int(hydra_config.job.num) + 1
        self._row = {"number": number, "settings": chosen}
        line = f"run {number} of {total}: {' '.join(chosen)}".rstrip(": ")
        print_line(line if number == 1 else f"\n{line}", file=sys.stderr, flush=True)

    def end(
        self, state: str, results: Mapping[str, object] | None = None, monitor: str = "", folder: Path | None = None
    ) -> None:
        """Stores the outcome of the run.

        Args:
            state: "finished", "failed" or "done" (finished before).
            results: contents of results.json.
            monitor: the monitored metric.
            folder: the run folder.
        """
        if self._folder is None:
            return
        results = results or {}
        metrics = {name: results.get(name) for name in (monitor, monitor.replace("val/", "test/")) if name}
        others = {"state": state, "metrics": metrics, "minutes": results.get("minutes")}
        row = {**self._row, **others, "folder": None if folder is None else str(folder)}
        (self._folder / RUNS).mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / RUNS / f"{self._row['number']}.json", json.dumps(row))

    def finish(self) -> None:
        """Prints the table of all runs of the sweep that this process has started."""
        folder, SweepReport.sweep_folder = SweepReport.sweep_folder, None
        found = [] if folder is None else (folder / RUNS).glob("*.json")
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in found]
        if rows:
            print_line()
            print_table(sweep_table(sorted(rows, key=lambda row: row["number"])))


def swept(settings: Sequence[str], params: Mapping[str, object]) -> dict[str, float]:
    """The number of values of each setting; infinite for an interval.

    Args:
        settings: the settings of the command line.
        params: `hydra.sweeper.params`, which the command line replaces.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
    given = [*(f"{key}={value}" for key, value in params.items()), *settings]
    counts: dict[str, float] = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides(given):
        count = len(list(override.sweep_string_iterator())) if override.is_discrete_sweep() else math.inf
        counts[override.get_key_element()] = count if override.is_sweep_override() else 1
    return counts


def sweep_table(rows: Sequence[Plain]) -> Table:
    """The table of the runs of a sweep: number, swept settings, metrics, time, and folder below the one they share."""
    settings = [dict(text.split("=", 1) for text in row["settings"]) for row in rows]
    keys = list(dict.fromkeys(key for chosen in settings for key in chosen))
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    parents = [Path(row["folder"]).parent for row in rows if row["folder"]]
    shared = Path(os.path.commonpath(parents)) if parents else Path()
    title = f"{len(rows)} run{'s' * (len(rows) > 1)}" + (f" in {relative(shared)}" if parents else "")
    table = Table(box=None, title=title, title_justify="left", pad_edge=False)
    for heading in ("run", *keys, *metrics, "time"):
        table.add_column(heading, justify="left" if heading in keys else "right", no_wrap=True)
    table.add_column("folder", no_wrap=True)
    for row, chosen in zip(rows, settings, strict=True):
        values = [row["metrics"].get(name) for name in metrics]
        figures = [f"{value:.4f}" if isinstance(value, float) else "" for value in values]
        time = "" if row["minutes"] is None else duration(60 * row["minutes"])
        place = MARKS.get(row["state"]) or str(Path(row["folder"]).relative_to(shared))
        table.add_row(str(row["number"]), *(chosen.get(key, "") for key in keys), *figures, time, place)
    return table
