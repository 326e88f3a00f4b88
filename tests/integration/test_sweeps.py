"""Sweeps with `python train.py -m`."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal.core_plugins import basic_launcher
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from running import TINY, error_of, only_run, paths_in, results_of, runs_below, train
from sluice.sweeps.jobs import AnnounceJobs


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The values returned to Hydra by the runs of a sweep."""
    Plugins.instance()  # imports the launchers on first use
    values: list[Any] = []
    run_job = basic_launcher.run_job

    def recording(**options: Any) -> Any:
        result = run_job(**options)
        values.append(result.return_value)
        return result

    monkeypatch.setattr(basic_launcher, "run_job", recording)
    return values


def test_each_run_has_a_folder_and_returns_its_metric(workdir: Path, returned: list[Any]) -> None:
    ended = train(*TINY, "-m", "model=rnn,gru", "seed=1,2")
    assert ended.code == 0, ended.err
    runs = runs_below(workdir / "outputs")
    points = [(results["model"], results["seed"]) for results in map(results_of, runs)]
    assert sorted(points) == [("gru", 1), ("gru", 2), ("rnn", 1), ("rnn", 2)]
    assert len({run.name for run in runs}) == 4
    monitored = {point: results_of(run)["val/accuracy"] for point, run in zip(points, runs, strict=True)}
    assert returned == [monitored["rnn", 1], monitored["rnn", 2], monitored["gru", 1], monitored["gru", 2]]
    announced = [line for line in ended.err.splitlines() if re.match(r"run \d+ of ", line)]
    points = [f"model={model} seed={seed}" for model in ("rnn", "gru") for seed in (1, 2)]
    assert announced == [f"run {number} of 4: {point}" for number, point in enumerate(points, start=1)]
    assert [line.split()[:3] for line in ended.out.splitlines()[-4:]] == [
        [str(number), *re.findall(r"=(\w+)", point)] for number, point in enumerate(points, start=1)
    ]


def test_each_run_has_its_own_log(workdir: Path) -> None:
    ended = train("-m", *TINY, "seed=1,2", "name=two")
    runs = runs_below(workdir / "outputs")
    assert [run.name for run in runs] == ["sample-two-1", "sample-two-2"]
    rows = [line.split() for line in ended.out.splitlines()[-2:]]
    assert [(row[0], Path(row[-1]).name) for row in rows] == [("1", "sample-two-1"), ("2", "sample-two-2")]
    assert all("epoch 1/1 (" in (run / "log.txt").read_text(encoding="utf-8") for run in runs)
    assert ended.err.count("epoch 1/1 (") == 2
    (sweep,) = (workdir / "outputs/multirun").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}", sweep.name)  # of sweeps begun in one second


def test_failed_run_is_reported_and_the_sweep_continues(workdir: Path, returned: list[Any]) -> None:
    ended = train("-m", *TINY, "task.text.min_freq=100000,1", *paths_in(workdir))
    assert "1" in error_of(ended)
    assert "run 1 failed: min_freq=100000 leaves no word" in ended.err
    assert results_of(only_run(workdir))["val/accuracy"] == returned[1]
    table = [line.split() for line in ended.out.splitlines()[-3:]]
    assert table[0] == ["run", "task.text.min_freq", "val/accuracy", "test/accuracy", "time", "folder"]
    assert table[1] == ["1", "100000", "failed"]
    assert table[2][:3] == ["2", "1", f"{returned[1]:.4f}"]
    assert returned[0] is None


def test_unknown_option_is_reported_before_any_run(workdir: Path) -> None:
    assert "there is no model=grue" in error_of(train("-m", *TINY, "model=rnn,grue", *paths_in(workdir)))
    assert runs_below(workdir) == []


def test_executor_is_restored_after_an_error(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Executor: ...

    submitit = SimpleNamespace(AutoExecutor=Executor)
    monkeypatch.setitem(sys.modules, "submitit", submitit)
    launcher, sweep = {"_target_": "x.submitit_launcher.Local"}, {"dir": str(workdir)}
    AnnounceJobs().on_multirun_start(OmegaConf.create({"hydra": {"launcher": launcher, "sweep": sweep}}))
    assert submitit.AutoExecutor is not Executor
    error_of(train("-m", *TINY, "model=rnn,grue", *paths_in(workdir)))
    assert submitit.AutoExecutor is Executor


def test_monitored_metric_is_returned(workdir: Path, returned: list[Any]) -> None:
    ended = train("-m", *TINY, "task.monitor=val/loss", "task.mode=min", "seed=3", *paths_in(workdir))
    assert ended.code == 0, ended.err
    assert returned == [results_of(only_run(workdir))["val/loss"]]
