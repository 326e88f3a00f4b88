"""Jobs on a real SLURM: where they run, how they come back, and that nothing is lost or done twice."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from likeness import differences, rows_of
from own_slurm import ROOT, SLUICE_BATCH, Job, Slurm
from running import SMALL, TINY, only_run, places, results_of, runs_below, three_classes

pytestmark = pytest.mark.cluster

TRAIN = (sys.executable, ROOT / "train.py")
TWO_NODES = ("--nodes=2", "--ntasks-per-node=1")
NO_GPUS = ("--gpus-per-node=0", "--cpus-per-task=1")
LONG = (
    *("trainer.accelerator=cpu", "task.data.source=sample", "task.data.sample_size=400", "task.data.batch_size=8"),
    *("model.hidden_size=16", "embedding.size=8", "task.max_epochs=8"),
    *("trainer.log_every_n_steps=1", "checkpoint.every_steps=10"),
)
"""Ten seconds of training, a checkpoint a few times a second."""


@dataclass(frozen=True)
class Long:
    """A job that trains for a while on two nodes, in the batch file that people use."""

    job: Job
    home: Path

    @classmethod
    def submitted(cls, slurm: Slurm, home: Path, *options: str) -> "Long":
        """Submits it."""
        job = slurm.submit(home / "%j.txt", *options, *TWO_NODES, *NO_GPUS, SLUICE_BATCH, *LONG, *places(home))
        return cls(job, home)

    @property
    def folder(self) -> Path:
        """The run's, once it is there."""
        return self.home / "output" / "imdb" / "lstm" / f"sample-{self.job.number}"

    def saved(self) -> None:
        """Waits until it has written a checkpoint since this was called."""
        path = self.folder / "last.ckpt"
        before = path.stat().st_mtime_ns if path.exists() else 0
        self.job.has(lambda: path.exists() and path.stat().st_mtime_ns > before)

    def done(self, requeues: int) -> None:
        """Waits for its good end."""
        facts = self.job.ended()
        assert facts["JobState"] == "COMPLETED", self.job.said
        assert facts["Restarts"] == str(requeues)
        assert list(self.folder.parent.glob(f"*{self.job.number}*")) == [self.folder]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for all long jobs, so that their settings are the same."""
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def undisturbed(slurm: Slurm, home: Path) -> Long:
    """The job as it goes when nobody stops it."""
    long = Long.submitted(slurm, home)
    long.done(requeues=0)
    return long


@pytest.fixture
def slow_scontrol(tmp_path: Path) -> Path:
    """A folder for the PATH, with an scontrol that takes its time, as where a thousand people ask."""
    real = shutil.which("scontrol")
    path = tmp_path / "scontrol"
    path.write_text(f'#!/bin/sh\nsleep 2\nexec {real} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("tasks", ["--ntasks-per-node=1", "--ntasks=2"])
def test_two_nodes_train_one_run_that_the_job_names(slurm: Slurm, tmp_path: Path, tasks: str) -> None:
    ended = slurm.srun("--nodes=2", tasks, *TRAIN, "trainer=slurm", *TINY, *places(tmp_path))
    assert ended.code == 0, ended.err
    run = only_run(tmp_path)
    assert [run] == list(run.parent.iterdir())
    assert run.name.removeprefix("sample-").isdecimal()
    assert results_of(run)["device"] == "2 x cpu"
    assert ended.err.count("run folder") == ended.out.count("Use it: ") == 1


def test_a_job_that_is_stopped_twice_goes_on_by_itself_and_ends_as_if_it_had_not_been(
    slurm: Slurm, home: Path, undisturbed: Long, slow_scontrol: Path
) -> None:
    long = Long.submitted(slurm, home, f"--export=ALL,PATH={slow_scontrol}:{slurm.environment['PATH']}")
    for stops in range(2):
        long.job.started(again=stops)
        long.saved()
        long.job.asked_to_save()
    long.done(requeues=2)
    assert long.job.said.count("Stopped by SIGUSR1") == long.job.said.count("Resuming from") == 2
    assert differences(long.folder, undisturbed.folder) == []
    steps = [row["step"] for row in rows_of(long.folder) if "train/loss" in row]
    assert len(steps) == len(set(steps)) > 0


def test_a_running_job_that_somebody_requeues_goes_on_from_its_last_checkpoint(
    slurm: Slurm, home: Path, undisturbed: Long
) -> None:
    long = Long.submitted(slurm, home)
    long.saved()
    long.job.requeued()
    long.done(requeues=1)
    assert long.job.said.count("Resuming from") == 1
    assert "Killed" not in long.job.said, "the tasks did not end when they were told to"
    assert "Interrupted before" not in long.job.said
    assert differences(long.folder, undisturbed.folder) == []


def test_a_job_that_is_asked_to_save_while_it_tests_ends_well(slurm: Slurm, tmp_path: Path) -> None:
    train, test = three_classes(tmp_path / "train.csv"), three_classes(tmp_path / "test.csv", each=40_000)
    texts = ("task=reviews", f"task.data.path={train}", f"task.data.test_path={test}", *SMALL)
    all_tests = ("trainer.limit_test_batches=null", "trainer.devices=1")
    job = slurm.submit(tmp_path / "out.txt", *NO_GPUS, SLUICE_BATCH, *texts, *all_tests, *places(tmp_path))
    job.has(lambda: "epoch 1/1, done" in job.said)
    time.sleep(0.5)
    job.asked_to_save()
    assert job.ended()["JobState"] == "COMPLETED", job.said
    assert "test/accuracy" in results_of(only_run(tmp_path))


def test_a_job_that_is_done_and_requeued_trains_nothing_and_ends_well(undisturbed: Long) -> None:
    results, said = undisturbed.folder / "results.json", undisturbed.job.said
    written = results.stat().st_mtime_ns
    undisturbed.job.requeued()
    undisturbed.job.started(again=1)
    undisturbed.done(requeues=1)
    assert "is done: its results are in results.json" in undisturbed.job.said.removeprefix(said)
    assert results.stat().st_mtime_ns == written


def test_tasks_that_the_trainer_does_not_wait_for_are_one_sentence(slurm: Slurm, tmp_path: Path) -> None:
    options = ("--nodes=2", "--ntasks=2", "--kill-on-bad-exit=0")
    ended = slurm.srun(*options, *TRAIN, "trainer=cpu", *TINY, *places(tmp_path))
    (sentence,) = {line.partition(": ")[2] for line in ended.err.splitlines()}
    assert ended.code == 2
    assert sentence.startswith("srun started 2 processes on 2 nodes, but trainer.devices=1")
    assert runs_below(tmp_path) == []


def test_each_job_of_an_array_has_a_folder_named_by_job_and_index(slurm: Slurm, tmp_path: Path) -> None:
    options = ("--array=3-4", "--nodes=1", *NO_GPUS)
    job = slurm.submit(tmp_path / "%a.txt", *options, SLUICE_BATCH, *TINY, *places(tmp_path))
    slurm.wait_for_all()
    assert [run.name for run in runs_below(tmp_path)] == [f"sample-{job.number}_{index}" for index in (3, 4)]


def test_a_sweep_through_submitit_is_a_job_a_point(slurm: Slurm, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ("-m", "hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=1,2")
    ended = slurm.run(*TRAIN, *sweep, *TINY, *places(tmp_path), cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert sorted(results_of(run)["seed"] for run in runs_below(tmp_path)) == [1, 2]


def test_a_point_that_cannot_be_run_fails_the_sweep_through_submitit(slurm: Slurm, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ("-m", "hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    ended = slurm.run(*TRAIN, *sweep, *TINY, "trainer.max_epochs=0", *places(tmp_path), cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("sluice: trainer.max_epochs=0 cannot be used")
