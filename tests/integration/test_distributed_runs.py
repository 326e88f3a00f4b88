"""Runs of several CPU processes with the gloo backend."""

import os
import shlex
import sys
from pathlib import Path

import pytest
import torch
import yaml

from processes import TRAIN, Started, children_of, command
from run_differences import differences
from running import SAMPLE, Ended, error_of, only_run, paths_in, results_of, runs_below, train, trained

SMALL = (
    *("model.hidden_size=4", "embedding.size=4", "trainer.max_epochs=3", "trainer.log_every_n_steps=1"),
    *("task.data.batch_size=4", "task.data.sample_size=300", "scheduler=constant", SAMPLE[0]),
)
STILL = (*SMALL, "optimizer.lr=1e-30", "checkpoint.every_steps=4")
"""A learning rate of 0 makes the metrics independent of the number of processes."""

TWO = "trainer=ddp_cpu"


def metrics_of(run: Path) -> dict[str, float]:
    return {name: value for name, value in results_of(run).items() if name.startswith(("val/", "test/"))}


class Two:
    """A finished run of two processes."""

    def __init__(self, home: Path) -> None:
        (home / "data").mkdir()
        self.home, self.settings = home, (*STILL, TWO, *paths_in(home))
        self.ended: Ended = command(*TRAIN, *self.settings, "name=two", cwd=home)
        assert self.ended.code == 0, self.ended.err
        self.folder = only_run(home)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    """One run for all tests of this module; read-only."""
    return Two(tmp_path_factory.mktemp("two"))


@pytest.mark.slow
def test_run_folder_contents(two: Two) -> None:
    files = {file.name.split(".vm")[0] for file in two.folder.iterdir() if not file.name.startswith("events.out.")}
    expected = {"config.yaml", "metrics.csv", "best.ckpt", "last.ckpt", "previous.ckpt", "results.json", "log.txt"}
    assert files == expected | {"confusion.csv", "launch.yaml", "overrides.yaml", "splits.npz"}
    assert len(list((two.home / "output").rglob("config.yaml"))) == 1


@pytest.mark.slow
def test_only_rank_zero_writes_and_prints(two: Two) -> None:
    assert results_of(two.folder)["device"] == "2 x cpu"
    assert "interrupted" not in results_of(two.folder)
    assert two.ended.out.count(f"Run:    {two.folder.relative_to(two.home)}") == 1
    assert two.ended.err.count("SAMPLE: ") == 1
    assert two.ended.err.count("epoch 1/3 (") == 1
    log = (two.folder / "log.txt").read_text(encoding="utf-8")
    assert [log.count(f"epoch {number}/3 (") for number in (1, 2, 3)] == [1, 1, 1]
    assert [log.count(text) for text in ("SAMPLE: ", "Data of task=", "parameters; run folder")] == [1, 1, 1]
    assert "Traceback" not in two.ended.err


@pytest.mark.slow
def test_config_records_devices_and_strategy(two: Two) -> None:
    config = yaml.safe_load((two.folder / "config.yaml").read_text(encoding="utf-8"))
    assert (config["trainer"]["devices"], config["trainer"]["strategy"]) == (2, "ddp")
    assert config["paths"]["run_dir"] == str(two.folder)


@pytest.mark.slow
def test_each_text_goes_to_one_process(two: Two) -> None:
    last = torch.load(two.folder / "last.ckpt", weights_only=True)
    assert last["global_step"] == 3 * 34, "270 texts in batches of 4 on 2 ranks"
    assert len(last["moment"]["ranks"]) == 2
    numbers = [rank["random"]["torch"] for rank in last["moment"]["ranks"]]
    assert not torch.equal(*numbers), "dropout differs between ranks"


@pytest.mark.slow
def test_metrics_match_a_single_process(two: Two, workdir: Path) -> None:
    alone = trained(workdir, *STILL, "trainer=cpu")
    assert metrics_of(two.folder) == pytest.approx(metrics_of(alone.folder), abs=1e-6)
    counts = [(run / "confusion.csv").read_text(encoding="utf-8") for run in (two.folder, alone.folder)]
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_resume_after_ctrl_c_is_exact(two: Two) -> None:
    run = two.folder.with_name("sample-stopped")
    started = Started(*two.settings, "name=stopped", cwd=two.home)
    started.wait_for(run / "last.ckpt")
    started.press_ctrl_c()
    ended = started.ended()
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert results_of(run)["interrupted"] is True
    assert ended.err.splitlines()[-1] == shlex.join(["python", TRAIN[1], f"resume={run}"])
    assert not (run / "best.ckpt").exists(), "the run stops before the end of the epoch"
    again = command(*TRAIN, f"resume={run}", cwd=two.home)
    assert again.code == 0, again.err
    assert f"Resuming from {run / 'last.ckpt'}." in again.err
    assert differences(run, two.folder) == []


def test_invalid_setting_is_reported_before_launch(workdir: Path) -> None:
    ended = train(*STILL, TWO, "model.cell=lstmm", *paths_in(workdir))
    assert "there is no model.cell=lstmm" in error_of(ended)
    assert list((workdir / "output").rglob("launch.yaml")) == []


@pytest.mark.slow
def test_three_processes_match_two(workdir: Path, two: Two) -> None:
    ended = command(*TRAIN, *STILL, TWO, "trainer.devices=3", *paths_in(workdir), cwd=workdir)
    assert ended.code == 0, ended.err
    assert metrics_of(only_run(workdir)) == pytest.approx(metrics_of(two.folder), abs=1e-6)


@pytest.mark.slow
def test_sweep_of_distributed_runs(workdir: Path) -> None:
    ended = command(*TRAIN, "-m", *STILL, TWO, "seed=1,2", *paths_in(workdir), cwd=workdir)
    assert ended.code == 0, ended.err
    runs = runs_below(workdir)
    assert sorted(results_of(run)["seed"] for run in runs) == [1, 2]
    assert len(list((workdir / "output").rglob("launch.yaml"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_torchrun_trains_one_run(workdir: Path, two: Two, named: bool) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", TRAIN[1])
    name = ("name=mine",) if named else ()
    ended = command(*torchrun, *STILL, TWO, *name, *paths_in(workdir), cwd=workdir)
    assert ended.code == 0, ended.err
    run = only_run(workdir)
    assert [folder.name for folder in run.parent.iterdir()] == [run.name]
    assert run.name == "sample-mine" or not named
    assert not (run / "launch.yaml").exists()
    assert metrics_of(run) == pytest.approx(metrics_of(two.folder), abs=1e-6)


@pytest.mark.slow
def test_torchrun_world_size_must_match_devices(workdir: Path) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", TRAIN[1])
    ended = command(*torchrun, *STILL, "trainer=cpu", *paths_in(workdir), cwd=workdir)
    assert ended.code != 0
    assert ended.err.count("torchrun started 2 processes on 1 nodes, but trainer.devices=1") >= 1
    assert runs_below(workdir) == []


@pytest.mark.slow
def test_killed_worker_is_reported_and_others_end(workdir: Path, two: Two) -> None:
    run = workdir / "output" / "imdb" / "lstm" / "sample-killed"
    started = Started(*STILL, TWO, "name=killed", *paths_in(workdir), cwd=workdir)
    started.wait_for(run / "last.ckpt")
    first, second = children_of(started.process.pid)
    os.kill(second, 9)
    ended = started.ended()
    assert ended.code == 2
    assert "rank 1 of 2 was killed by SIGKILL" in ended.err
    assert not Path(f"/proc/{first}").exists()
