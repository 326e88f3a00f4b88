"""python train.py -m: several runs, one after the other."""

from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins import basic_launcher
from hydra.core.plugins import Plugins

from running import TINY, complaint, only_run, places, results_of, runs_below, train


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the job returned to Hydra for each run of a sweep."""
    Plugins.instance()  # reads the launchers' modules when it is first asked for
    values: list[Any] = []
    run_job = basic_launcher.run_job

    def recording(**options: Any) -> Any:
        result = run_job(**options)
        values.append(result.return_value)
        return result

    monkeypatch.setattr(basic_launcher, "run_job", recording)
    return values


def test_every_point_has_a_run_of_its_own(workplace: Path, returned: list[Any]) -> None:
    ended = train(*TINY, "-m", "model=rnn,gru", "seed=1,2")
    assert ended.code == 0, ended.err
    runs = runs_below(workplace / "outputs")
    points = [(results["model"], results["seed"]) for results in map(results_of, runs)]
    assert sorted(points) == [("gru", 1), ("gru", 2), ("rnn", 1), ("rnn", 2)]
    assert len({run.name for run in runs}) == 4
    monitored = {point: results_of(run)["val/accuracy"] for point, run in zip(points, runs, strict=True)}
    assert returned == [monitored["rnn", 1], monitored["rnn", 2], monitored["gru", 1], monitored["gru", 2]]


def test_every_run_of_a_sweep_has_its_log(workplace: Path) -> None:
    ended = train("-m", *TINY, "seed=1,2", "name=two")
    runs = runs_below(workplace / "outputs")
    assert [run.name for run in runs] == ["sample-two-0", "sample-two-1"]
    assert all("epoch 1/1, done" in (run / "log.txt").read_text(encoding="utf-8") for run in runs)
    assert ended.err.count("epoch 1/1, done") == 2


def test_a_point_that_cannot_run_is_told_and_the_rest_go_on(workplace: Path, returned: list[Any]) -> None:
    ended = train("-m", *TINY, "task.text.min_freq=100000,1", *places(workplace))
    assert "1" in complaint(ended)
    assert "sweep run 0 failed: task.text.min_freq=100000 leaves no word" in ended.err
    assert results_of(only_run(workplace))["val/accuracy"] == returned[1]
    assert returned[0] is None


def test_a_point_that_does_not_exist_is_told_before_anything_runs(workplace: Path) -> None:
    assert "there is no model=grue" in complaint(train("-m", *TINY, "model=rnn,grue", *places(workplace)))
    assert runs_below(workplace) == []


def test_another_monitored_metric_is_returned(workplace: Path, returned: list[Any]) -> None:
    ended = train("-m", *TINY, "task.monitor=val/loss", "task.mode=min", "seed=3", *places(workplace))
    assert ended.code == 0, ended.err
    assert returned == [results_of(only_run(workplace))["val/loss"]]
