"""Jobs on a real SLURM are placed, requeued and resumed without losing or repeating work."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_slurm import ROOT, SLUICE_BATCH, Job, Slurm
from run_differences import differences, rows_of
from running import SMALL, TINY, only_run, paths_in, results_of, runs_below, three_classes

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
    """A long job on two nodes, submitted with cluster/sluice.sbatch."""

    job: Job
    home: Path

    @classmethod
    def submitted(cls, slurm: Slurm, home: Path, *options: str) -> "Long":
        """Submits the job."""
        job = slurm.submit(home / "%j.txt", *options, *TWO_NODES, *NO_GPUS, SLUICE_BATCH, *LONG, *paths_in(home))
        return cls(job, home)

    @property
    def folder(self) -> Path:
        """The run folder; it is created by the job."""
        return self.home / "output" / "imdb" / "lstm" / f"sample-{self.job.number}"

    def wait_for_checkpoint(self) -> None:
        """Waits for a checkpoint written after this call."""
        path = self.folder / "last.ckpt"
        before = path.stat().st_mtime_ns if path.exists() else 0
        self.job.wait_for(lambda: path.exists() and path.stat().st_mtime_ns > before)

    def wait_until_completed(self, requeues: int) -> None:
        """Waits until the job completes, and checks its number of requeues."""
        facts = self.job.wait_until_ended()
        assert facts["JobState"] == "COMPLETED", self.job.printed
        assert facts["Restarts"] == str(requeues)
        assert list(self.folder.parent.glob(f"*{self.job.number}*")) == [self.folder]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all long jobs, so that their settings are equal."""
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def undisturbed(slurm: Slurm, home: Path) -> Long:
    """The uninterrupted job."""
    long = Long.submitted(slurm, home)
    long.wait_until_completed(requeues=0)
    return long


@pytest.fixture
def slow_scontrol(tmp_path: Path) -> Path:
    """A folder for PATH with a slow scontrol, as on a busy cluster."""
    real = shutil.which("scontrol")
    path = tmp_path / "scontrol"
    path.write_text(f'#!/bin/sh\nsleep 2\nexec {real} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("tasks", ["--ntasks-per-node=1", "--ntasks=2"])
def test_two_nodes_train_one_run_named_by_the_job(slurm: Slurm, tmp_path: Path, tasks: str) -> None:
    ended = slurm.srun("--nodes=2", tasks, *TRAIN, "trainer=slurm", *TINY, *paths_in(tmp_path))
    assert ended.code == 0, ended.err
    run = only_run(tmp_path)
    assert [run] == list(run.parent.iterdir())
    assert run.name.removeprefix("sample-").isdecimal()
    assert results_of(run)["device"] == "2 x cpu"
    assert ended.err.count("run folder") == ended.out.count("Use it: ") == 1


def test_job_stopped_twice_resumes_exactly(slurm: Slurm, home: Path, undisturbed: Long, slow_scontrol: Path) -> None:
    long = Long.submitted(slurm, home, f"--export=ALL,PATH={slow_scontrol}:{slurm.environment['PATH']}")
    for stops in range(2):
        long.job.wait_until_running(restarts=stops)
        long.wait_for_checkpoint()
        long.job.send_stop_signal()
    long.wait_until_completed(requeues=2)
    assert long.job.printed.count("Stopped by SIGUSR1") == long.job.printed.count("Resuming from") == 2
    assert differences(long.folder, undisturbed.folder) == []
    steps = [row["step"] for row in rows_of(long.folder) if "train/loss" in row]
    assert len(steps) == len(set(steps)) > 0


def test_manually_requeued_job_resumes_exactly(slurm: Slurm, home: Path, undisturbed: Long) -> None:
    long = Long.submitted(slurm, home)
    long.wait_for_checkpoint()
    long.job.requeue()
    long.wait_until_completed(requeues=1)
    assert long.job.printed.count("Resuming from") == 1
    assert "Killed" not in long.job.printed, "the tasks ignored the signal to end"
    assert "Interrupted: " not in long.job.printed
    assert differences(long.folder, undisturbed.folder) == []


def test_stop_signal_during_test_is_ignored(slurm: Slurm, tmp_path: Path) -> None:
    train, test = three_classes(tmp_path / "train.csv"), three_classes(tmp_path / "test.csv", each=40_000)
    texts = ("task=reviews", f"task.data.path={train}", f"task.data.test_path={test}", *SMALL)
    all_tests = ("trainer.limit_test_batches=null", "trainer.devices=1")
    job = slurm.submit(tmp_path / "out.txt", *NO_GPUS, SLUICE_BATCH, *texts, *all_tests, *paths_in(tmp_path))
    job.wait_for(lambda: "epoch 1/1 (" in job.printed)
    time.sleep(0.5)
    job.send_stop_signal()
    assert job.wait_until_ended()["JobState"] == "COMPLETED", job.printed
    assert "test/accuracy" in results_of(only_run(tmp_path))


def test_requeued_finished_job_trains_nothing(undisturbed: Long) -> None:
    results, printed = undisturbed.folder / "results.json", undisturbed.job.printed
    written = results.stat().st_mtime_ns
    undisturbed.job.requeue()
    undisturbed.job.wait_until_running(restarts=1)
    undisturbed.wait_until_completed(requeues=1)
    assert "is done: its results are in results.json" in undisturbed.job.printed.removeprefix(printed)
    assert results.stat().st_mtime_ns == written


def test_task_count_mismatch_is_reported(slurm: Slurm, tmp_path: Path) -> None:
    options = ("--nodes=2", "--ntasks=2", "--kill-on-bad-exit=0")
    ended = slurm.srun(*options, *TRAIN, "trainer=cpu", *TINY, *paths_in(tmp_path))
    (sentence,) = {line.partition(": ")[2] for line in ended.err.splitlines()}
    assert ended.code == 2
    assert sentence.startswith("srun started 2 processes on 2 nodes, but trainer.devices=1")
    assert runs_below(tmp_path) == []


def test_array_jobs_have_separate_run_folders(slurm: Slurm, tmp_path: Path) -> None:
    options = ("--array=3-4", "--nodes=1", *NO_GPUS)
    job = slurm.submit(tmp_path / "%a.txt", *options, SLUICE_BATCH, *TINY, *paths_in(tmp_path))
    slurm.wait_for_all()
    assert [run.name for run in runs_below(tmp_path)] == [f"sample-{job.number}_{index}" for index in (3, 4)]


def test_submitit_sweep_submits_one_job_per_run(slurm: Slurm, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ("-m", "hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=1,2")
    ended = slurm.run(*TRAIN, *sweep, *TINY, *paths_in(tmp_path), cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert sorted(results_of(run)["seed"] for run in runs_below(tmp_path)) == [1, 2]


def test_submitit_sweep_reports_invalid_settings(slurm: Slurm, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweep = ("-m", "hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    ended = slurm.run(*TRAIN, *sweep, *TINY, "trainer.max_epochs=0", *paths_in(tmp_path), cwd=tmp_path)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("sluice: trainer.max_epochs=0 cannot be used")
