"""Counting and listing the runs of a sweep."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sluice.sweeps.jobs import announcing, differing
from sluice.sweeps.report import RUNS, SweepReport, sweep_table, swept


@pytest.mark.parametrize(
    ("settings", "params", "counts"),
    [
        (["model=gru,lstm", "seed=range(1,4)", "name=a"], {}, {"model": 2, "seed": 3, "name": 1}),
        (["seed=7"], {"model": "rnn,gru,lstm", "seed": "1,2"}, {"model": 3, "seed": 1}),
        (["optimizer.lr=interval(0.1,1)", "+trainer.x=choice(1,2)"], {}, {"optimizer.lr": math.inf, "+trainer.x": 2}),
        (["a=[1,2],[3]"], {}, {"a": 2}),
        ([], {"lr": "tag(log, interval(5e-4, 1e-2))", "n": "choice(64, 128)"}, {"lr": math.inf, "n": 2}),
    ],
)
def test_values_of_a_sweep_are_counted(settings: list[str], params: dict[str, Any], counts: dict[str, float]) -> None:
    assert swept(settings, params) == counts


def test_table_lists_failed_runs_and_other_settings() -> None:
    shared = {"minutes": 0.05, "state": "finished", "folder": "outputs/imdb/gru/a"}
    rows: list[dict[str, Any]] = [
        {**shared, "number": 1, "settings": ["model=gru"], "metrics": {"val/loss": 0.25, "test/loss": None}},
        {"number": 2, "settings": ["model=rnn"], "state": "failed", "metrics": {}, "minutes": None, "folder": None},
        {"number": 3, "settings": ["seed=2"], "state": "done", "metrics": {}, "minutes": None, "folder": None},
        {"number": 4, "settings": ["model=rnn"], "metrics": {}, **shared, "folder": "outputs/imdb/rnn/b"},
    ]
    screen = io.StringIO()
    Console(file=screen, width=100).print(sweep_table(rows))
    assert [line.split() for line in screen.getvalue().splitlines()] == [
        ["4", "runs", "in", "outputs/imdb"],
        ["run", "model", "seed", "val/loss", "test/loss", "time", "folder"],
        ["1", "gru", "0.2500", "3.0", "s", "gru/a"],
        ["2", "rnn", "failed"],
        ["3", "2", "finished", "before"],
        ["4", "rnn", "3.0", "s", "rnn/b"],
    ]


def test_runs_of_an_earlier_sweep_are_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RUNS).mkdir()
    row = {"number": 7, "settings": ["seed=8"], "state": "failed", "metrics": {}, "minutes": None, "folder": None}
    (tmp_path / RUNS / "7.json").write_text(json.dumps(row))
    SweepReport.open_folder(tmp_path)
    (tmp_path / RUNS / "1.json").write_text(json.dumps({**row, "number": 1, "settings": ["seed=1"]}))
    SweepReport([]).finish()
    shown = capsys.readouterr().out
    assert "1 run\n" in shown
    assert "seed" in shown
    assert " 8 " not in shown


def test_jobs_are_named_by_what_differs() -> None:
    assert differing([["a=1", "seed=1"], ["a=1", "seed=2"]]) == [["seed=1"], ["seed=2"]]
    assert differing([["a=1"]]) == [["a=1"]]


def test_submitted_jobs_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    class Job:
        def __init__(self, job_id: str) -> None:
            self.job_id, self.paths = job_id, self
            self.stderr = f"/logs/{job_id}_log.err"

    class Executor:
        def map_array(self, function: Any, *arguments: Any) -> list[Job]:
            return [Job(f"{function}_{index}") for index, _ in enumerate(arguments[0])]

    executor: Any = announcing(Executor)  # type: ignore[arg-type]
    jobs = executor().map_array(17, [["a=1", "seed=1"], ["a=1", "seed=2"]], ["", ""])
    assert [job.job_id for job in jobs] == ["17_0", "17_1"]
    assert capsys.readouterr().err.splitlines() == [
        "job 17_0: seed=1; log: /logs/17_0_log.err",
        "job 17_1: seed=2; log: /logs/17_1_log.err",
        "Waiting for 2 jobs.",
    ]
