"""A stopped and resumed run equals an uninterrupted one."""

import itertools
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from tensorboard.backend.event_processing import plugin_event_accumulator

from run_differences import curves_of, differences, rows_of
from running import CONF, SAMPLE, Ended, error_of, paths_in, results_of, train, train_composed
from sluice.composition.compose import compose_config
from stopping import ctrl_c, ctrl_c_twice, keyboard_interrupt, stop_signal, stopped

SETTINGS = (
    *("task.data.batch_size=16", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu"),
    *("model.hidden_size=4", "embedding.size=4", *SAMPLE),
)
"""Eight batches in two epochs; one_cycle, early stopping and dropout of words and outputs are the defaults."""

OFTEN = ("checkpoint.every_steps=1",)

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent folder of all runs of this module."""
    folder = tmp_path_factory.mktemp("resuming")
    (folder / "data").mkdir()
    return folder


class Runs:
    """Trains named runs, and one uninterrupted run for each set of settings."""

    def __init__(self, home: Path) -> None:
        self.home, self.number = home, 0
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def command(self, *settings: str) -> Ended:
        """python train.py ..."""
        return train(*SETTINGS, *settings, *paths_in(self.home))

    def train(self, *settings: str, name: str | None = None, resume: Path | None = None) -> Ended:
        """The same without Hydra's command line, which is slower."""
        if settings not in self.composed:
            self.composed[settings] = compose_config([*SETTINGS, *settings, *paths_in(self.home)], CONF)
        config = deepcopy(self.composed[settings])
        config.name, config.resume = name, None if resume is None else str(resume)
        return train_composed(config)

    def folder(self, name: str) -> Path:
        return self.home / "output" / "imdb" / "lstm" / f"sample-{name}"

    def undisturbed(self, *settings: str) -> Path:
        name = re.sub(r"[^\w.]+", "-", "_".join(("undisturbed", *settings)))
        if not self.folder(name).exists():
            ended = self.train(*settings, name=name)
            assert ended.code == 0, ended.err
        return self.folder(name)

    def stopped(self, by: Callable[[], None], hook: str, time: int, *settings: str) -> Path:
        """A run stopped at the given call of a hook."""
        self.number += 1
        with stopped(by, hook, time):
            ended = self.train(*settings, name=f"r{self.number}")
        assert ended.code == 130, ended.err
        assert "Traceback" not in ended.err
        return self.folder(f"r{self.number}")

    def resume(self, run: Path, *settings: str) -> Ended:
        ended = self.train(*settings, resume=run)
        assert ended.code == 0, ended.err
        return ended


@pytest.fixture(scope="module")
def runs(home: Path) -> Runs:
    return Runs(home)


@pytest.mark.parametrize(
    ("hook", "time"),
    [
        pytest.param("on_train_batch_start", 1, id="first batch"),
        pytest.param("on_train_batch_end", 2, id="middle of an epoch"),
        pytest.param("on_before_optimizer_step", 3, id="within a step"),
        pytest.param("on_train_batch_end", 4, id="last batch of an epoch"),
        pytest.param("on_validation_batch_start", 1, id="validation"),
        pytest.param("on_train_batch_start", 5, id="first batch of the second epoch"),
        pytest.param("on_validation_batch_start", 2, id="last validation"),
        pytest.param("on_train_end", 1, id="end of training", marks=pytest.mark.slow),
    ],
)
def test_resume_after_stop_signal_is_exact(runs: Runs, hook: str, time: int) -> None:
    run = runs.stopped(stop_signal, hook, time)
    stderr = runs.resume(run).err
    assert f"Resuming from {run / 'last.ckpt'}." in stderr
    assert differences(run, runs.undisturbed()) == []


def test_resume_in_double_precision_is_exact(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2, "trainer.precision=64-true")
    runs.resume(run, "trainer.precision=64-true")
    assert differences(run, runs.undisturbed("trainer.precision=64-true")) == []


@pytest.mark.parametrize("time", [2, 5])
def test_resume_after_ctrl_c_is_exact(runs: Runs, time: int) -> None:
    run = runs.stopped(ctrl_c, "on_train_batch_start", time)
    assert results_of(run)["interrupted"] is True
    runs.resume(run)
    assert differences(run, runs.undisturbed()) == []


@pytest.mark.parametrize(
    ("hook", "time"),
    [
        pytest.param("on_train_batch_start", 3, id="before a batch"),
        pytest.param("on_after_backward", 3, id="within a batch"),
        pytest.param("on_before_optimizer_step", 4, id="within a step", marks=pytest.mark.slow),
        pytest.param("on_validation_batch_end", 1, id="validation"),
        pytest.param("on_train_epoch_end", 1, id="end of an epoch"),
        pytest.param("on_train_end", 1, id="end of training", marks=pytest.mark.slow),
        pytest.param("on_test_start", 1, id="before the test"),
        pytest.param("on_test_batch_end", 1, id="test", marks=pytest.mark.slow),
        pytest.param("on_test_end", 1, id="after the test"),
    ],
)
def test_resume_from_last_checkpoint_after_abort_is_exact(runs: Runs, hook: str, time: int) -> None:
    run = runs.stopped(ctrl_c_twice, hook, time, *OFTEN)
    runs.resume(run, *OFTEN)
    assert differences(run, runs.undisturbed(*OFTEN)) == []


@pytest.mark.parametrize("by", [ctrl_c_twice, keyboard_interrupt])
def test_abort_at_batch_end_loses_no_log_row(runs: Runs, by: Callable[[], None]) -> None:
    run = runs.stopped(by, "on_train_batch_end", 3)
    if (run / "last.ckpt").exists():
        runs.resume(run)
        assert differences(run, runs.undisturbed()) == []


def test_abort_during_accumulation_loses_no_gradient(runs: Runs) -> None:
    settings = ("trainer.accumulate_grad_batches=2",)
    run = runs.stopped(ctrl_c_twice, "on_train_batch_start", 4, *settings)
    if (run / "last.ckpt").exists():
        runs.resume(run, *settings)
        assert differences(run, runs.undisturbed(*settings)) == []


DROPOUTS = (
    *("model.num_layers=2", "model.dropout=0.3", "model.input_dropout=0.2", "model.recurrent_dropout=0.2"),
    *("model.weight_dropout=0.2", "embedding.word_dropout=0.5", "task.output_dropout=0.5"),
)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(DROPOUTS, id="dropouts"),
        pytest.param(("scheduler=cosine", "optimizer=sgd", "logger=none"), id="cosine", marks=pytest.mark.slow),
        pytest.param(("trainer.max_epochs=4", "callbacks.early_stopping.patience=1"), id="early stopping"),
        pytest.param(("trainer.accumulate_grad_batches=2",), id="accumulation", marks=pytest.mark.slow),
        pytest.param(("trainer.accumulate_grad_batches=3",), id="accumulation that does not divide the epoch"),
        pytest.param(
            ("trainer.check_val_every_n_epoch=2", "trainer.log_every_n_steps=3"),
            id="infrequent logging",
            marks=pytest.mark.slow,
        ),
        pytest.param(("+trainer.val_check_interval=2",), id="validation within the epoch", marks=pytest.mark.slow),
        pytest.param(("task.data.max_tokens=3000", "trainer.limit_train_batches=3"), id="token budget"),
        pytest.param(("callbacks=[default,ema]",), id="moving average"),
        pytest.param(
            ("callbacks=[default,ema]", "+trainer.val_check_interval=2", "trainer.accumulate_grad_batches=2"),
            id="moving average with validation within the epoch",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("callbacks=[swa,last_epochs]", "callbacks.swa.start_fraction=0.3"),
            id="equal average",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("task.monitor=val/loss", "task.mode=min", "embedding=onehot"), id="lowest loss", marks=pytest.mark.slow
        ),
        pytest.param(
            ("scheduler=plateau", "scheduler.patience=0", "task.monitor=val/loss", "task.mode=min"),
            id="plateau",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_resume_with_other_components_is_exact(runs: Runs, settings: tuple[str, ...]) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *settings)
    runs.resume(run, *settings)
    assert differences(run, runs.undisturbed(*settings)) == []


def test_run_may_be_stopped_after_every_batch(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 1)
    for _ in range(6):
        with stopped(stop_signal, "on_train_batch_end"):
            assert runs.train(resume=run).code == 130
    runs.resume(run)
    assert differences(run, runs.undisturbed()) == []


def test_stop_signal_during_test_is_ignored(runs: Runs) -> None:
    reached: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: reached.append(number))
    try:
        with stopped(stop_signal, "on_test_batch_start"):
            runs.train(name="tested")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert reached == []


def test_stop_waits_for_accumulated_gradients(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 1, "trainer.accumulate_grad_batches=2")
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 1


def test_early_stopped_run_does_not_train_further(runs: Runs) -> None:
    settings = ("trainer.max_epochs=9", "callbacks.early_stopping.patience=1")
    run = runs.stopped(ctrl_c_twice, "on_test_start", 1, *settings)
    before = torch.load(run / "last.ckpt", weights_only=True)["global_step"]
    runs.resume(run, *settings)
    assert before < 36
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == before
    assert differences(run, runs.undisturbed(*settings)) == []


def test_run_with_max_steps_resumes_within_the_epoch(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 4, "trainer.max_steps=6")
    runs.resume(run, "trainer.max_steps=6")
    assert differences(run, runs.undisturbed("trainer.max_steps=6")) == []


def test_tensorboard_has_no_duplicate_steps(runs: Runs) -> None:
    run = runs.stopped(ctrl_c_twice, "on_validation_start", 1, *OFTEN)
    runs.resume(run, *OFTEN)
    events = plugin_event_accumulator.EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    assert [point.step for point in events.Tensors("train/loss")] == list(range(8))


def test_moved_run_folder_resumes(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5)
    moved = Path(shutil.move(run, run.with_name("sample-moved")))
    runs.resume(moved)
    assert differences(moved, runs.undisturbed()) == []


def test_compared_columns_and_curves_exist(runs: Runs) -> None:
    rows, curves = rows_of(runs.undisturbed()), curves_of(runs.undisturbed())
    assert [row["step"] for row in rows if "train/loss" in row] == [str(step) for step in range(8)]
    assert [step for step, _ in curves["train/loss"]] == list(range(8))
    assert [step for step, _ in curves["val/accuracy"]] == [3, 7]
    assert len(curves["test/accuracy"]) > 0


def test_elapsed_time_accumulates(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    seconds = torch.load(run / "last.ckpt", weights_only=True)["moment"]["seconds"]
    time.sleep(1)
    started = time.monotonic()
    runs.resume(run)
    assert 0 < seconds < 60 * results_of(run)["minutes"] < seconds + time.monotonic() - started


def test_resume_last_takes_the_newest_run(runs: Runs) -> None:
    older, newer = (runs.stopped(stop_signal, "on_train_batch_end", 2) for _ in range(2))
    os.utime(newer / "last.ckpt", (time.time() + 1000,) * 2)
    assert f"Resuming from {newer / 'last.ckpt'}." in runs.command("resume=last").err
    assert (newer / "results.json").exists()
    assert not (older / "results.json").exists()
    (newer / "last.ckpt").unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_checkpoint_falls_back_to_previous(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *OFTEN)
    truncate(run / "last.ckpt")
    stderr = runs.resume(run, *OFTEN).err
    assert f"{run / 'last.ckpt'} is truncated, corrupted or not a checkpoint" in stderr
    assert f"Resuming from {run / 'previous.ckpt'}." in stderr
    assert differences(run, runs.undisturbed(*OFTEN)) == []


def test_missing_checkpoint_falls_back_to_previous(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *OFTEN)
    (run / "last.ckpt").unlink()
    assert f"Resuming from {run / 'previous.ckpt'}." in runs.resume(run, *OFTEN).err
    assert differences(run, runs.undisturbed(*OFTEN)) == []


@pytest.fixture(scope="module")
def run(runs: Runs) -> Path:
    """Stopped in the second epoch, with two checkpoints."""
    return runs.stopped(stop_signal, "on_train_batch_end", 5, *OFTEN)


@pytest.fixture
def own(run: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(run, tmp_path / "own"))


class TestErrors:
    """Errors are one sentence, with exit code 2."""

    def test_changed_settings_are_refused(self, runs: Runs, run: Path) -> None:
        error = error_of(runs.command(f"resume={run}", "optimizer.lr=0.5", "seed=2"))
        assert f"the run in {run} was started with other settings: " in error
        assert re.search(r"optimizer.lr was 0\.\d+ and is 0.5", error)
        assert "seed was 1 and is 2" in error
        assert "resume_force=true" in error
        assert "model" not in error.replace(str(run), "")

    def test_changed_model_is_refused(self, runs: Runs, run: Path) -> None:
        error = error_of(runs.command(f"resume={run}", "model=rnn_relu", "seed=2"))
        assert "model.name was " in error
        assert "and is 'rnn_relu'; restore them" in error
        assert "seed" not in error.replace(str(run), "")

    def test_output_settings_may_change(self, runs: Runs, own: Path) -> None:
        free = ("name=other", "checkpoint.every_minutes=1", "logger=none", "trainer.max_time=00:01:00:00")
        runs.resume(own, *free)

    def test_two_truncated_checkpoints_are_reported(self, runs: Runs, own: Path) -> None:
        for name in ("last.ckpt", "previous.ckpt"):
            truncate(own / name)
        assert f"{own / 'previous.ckpt'} is truncated, corrupted or not a checkpoint" in error_of(
            runs.command(f"resume={own}")
        )

    def test_checkpoint_with_weights_only_is_refused(self, runs: Runs, own: Path) -> None:
        shutil.copy(own / "best.ckpt", own / "last.ckpt")
        (own / "previous.ckpt").unlink()
        error = error_of(runs.command(f"resume={own}"))
        assert f"{own / 'last.ckpt'} contains only weights" in error

    def test_best_checkpoint_is_refused(self, runs: Runs, run: Path) -> None:
        error = error_of(runs.command(f"resume={run / 'best.ckpt'}"))
        assert "give the folder of a run, or resume=last" in error

    def test_folder_without_checkpoint_is_refused(self, runs: Runs, own: Path) -> None:
        for name in ("last.ckpt", "previous.ckpt"):
            (own / name).unlink()
        assert f"{own} has no last.ckpt to resume from" in error_of(runs.command(f"resume={own}"))

    def test_folder_without_config_is_reported(self, runs: Runs, own: Path) -> None:
        (own / "config.yaml").unlink()
        assert "config.yaml cannot be read" in error_of(runs.command(f"resume={own}"))

    def test_empty_folder_is_refused(self, runs: Runs, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        error = error_of(runs.command(f"resume={tmp_path / 'empty'}"))
        assert "has no last.ckpt to resume from" in error

    def test_missing_folder_is_reported(self, runs: Runs, tmp_path: Path) -> None:
        error = error_of(runs.command(f"resume={tmp_path / 'nowhere'}"))
        assert f"resume={tmp_path / 'nowhere'} doesn't exist: give the folder of a run, or resume=last" in error

    def test_resume_last_needs_a_run(self, tmp_path: Path) -> None:
        error = error_of(train(*SETTINGS, "resume=last", *paths_in(tmp_path)))
        assert f"resume=last cannot be used: no run in {tmp_path / 'output' / 'imdb' / 'lstm'} has a last.ckpt" in error

    def test_name_of_existing_run_suggests_resume(self, runs: Runs, run: Path) -> None:
        assert f"resume={run}" in error_of(runs.command(f"name={run.name}"))


def test_resume_force_logs_changed_settings(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    stderr = runs.resume(run, "trainer.max_epochs=3", "optimizer.lr=0.5", "resume_force=true").err
    assert "Resuming with changed settings: " in stderr
    assert "trainer.max_epochs was 2 and is 3" in stderr
    assert results_of(run)["epochs"] == 3


def test_finished_run_is_left_unchanged(runs: Runs) -> None:
    run = runs.undisturbed()
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    ended = runs.command(f"resume={run}")
    assert ended.code == 0
    assert f"the run in {run} is done: its results are in results.json" in ended.err
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_finished_run_refuses_changed_settings(runs: Runs) -> None:
    run = runs.undisturbed()
    error = error_of(runs.command(f"resume={run}", "trainer.max_epochs=4", "resume_force=true"))
    assert "is done and cannot be resumed with other settings (trainer.max_epochs was 2 and is 4)" in error
    assert f"start a new run from its weights with init_from={run}" in error


UNLIKE = ("scheduler=cosine", "optimizer=sgd", "+trainer.min_epochs=1")


@pytest.mark.parametrize("of", ["", "last.ckpt"])
def test_resume_alone_restores_every_setting(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    name = f"alone-{of}"
    with stopped(stop_signal, "on_train_batch_end", 5):
        stderr = runs.command(*UNLIKE, f"name={name}").err
    monkeypatch.chdir(tmp_path)
    command = shlex.split(stderr.splitlines()[-1])
    ended = train(f"resume={runs.folder(name) / of}") if of else train(*command[2:])
    assert ended.code == 0, ended.err
    assert "other settings" not in ended.err
    assert differences(runs.folder(name), runs.undisturbed(*UNLIKE)) == []


def test_run_without_overrides_resumes_from_config(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *UNLIKE)
    assert not (run / "overrides.yaml").exists()
    assert "task.max_epochs cannot be changed" in error_of(train(f"resume={run}", "task.max_epochs=5"))
    ended = train(f"resume={run}", "checkpoint.every_minutes=1")
    assert ended.code == 0, ended.err
    assert differences(run, runs.undisturbed(*UNLIKE)) == []


def test_longer_training_stretches_the_schedule(runs: Runs) -> None:
    with stopped(stop_signal, "on_train_batch_end", 5):
        runs.command("name=longer")
    run = runs.folder("longer")
    longer = ("trainer.max_epochs=4", "resume_force=true")
    assert "was started with other settings: trainer.max_epochs was 2 and is 4" in error_of(
        train(f"resume={run}", longer[0])
    )
    with stopped(stop_signal, "on_train_batch_end", 4):
        stderr = train(f"resume={run}", *longer).err
    assert "The learning-rate schedule is stretched from step 5 to end at step 16." in stderr
    ended = train(f"resume={run}")
    assert ended.code == 0, ended.err
    assert "stretched" not in ended.err
    assert results_of(run)["epochs"] == 4
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    assert len(rates) == 16
    assert rates[5] < max(rates[:5])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[5:]))
    assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize(
    ("start", "change", "stop", "end"),
    [
        pytest.param("", "task.data.batch_size=8", 5, 11, id="smaller batches"),
        pytest.param(
            "task.data.batch_size=8", "task.data.batch_size=16", 9, 11, id="larger batches", marks=pytest.mark.slow
        ),
        pytest.param(
            "trainer.accumulate_grad_batches=2",
            "trainer.accumulate_grad_batches=1",
            6,
            5,
            id="accumulation",
            marks=pytest.mark.slow,
        ),
        pytest.param("trainer.limit_train_batches=2", "trainer.limit_train_batches=4", 2, 6, id="limited batches"),
    ],
)
def test_schedule_ends_with_training(runs: Runs, start: str, change: str, stop: int, end: int) -> None:
    before = tuple(filter(None, ("scheduler=linear", start)))
    run = runs.stopped(stop_signal, "on_train_batch_end", stop, *before)
    stderr = runs.resume(run, *before, change, "resume_force=true").err
    assert f"to end at step {end}." in stderr
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == end
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    assert all(later < earlier for earlier, later in itertools.pairwise(dict.fromkeys(rates)))
    assert min(rates) > 0
    assert checkpoint["lr_schedulers"][0]["_last_lr"] == pytest.approx([0], abs=1e-9)


@pytest.mark.parametrize(
    "scheduler", ["one_cycle", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cosine", "constant"))]
)
def test_changed_learning_rate_applies_after_resume(runs: Runs, scheduler: str) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, f"scheduler={scheduler}", "optimizer.lr=0.004")
    ended = runs.train(f"scheduler={scheduler}", "optimizer.lr=0.001", "resume_force=true", resume=run)
    assert ended.code == 0, ended.err
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    whole = rows_of(runs.undisturbed(f"scheduler={scheduler}", "optimizer.lr=0.004"))
    before = [float(row["train/learning_rate"]) for row in whole if "train/learning_rate" in row]
    factors = [rate / other for rate, other in zip(rates, before, strict=True)]
    assert factors == pytest.approx([1.0] * 5 + [0.25] * 3)


def test_resume_force_refuses_incompatible_settings(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    for setting, expected in (
        ("optimizer=sgd", "cannot be resumed with another optimizer"),
        ("model.hidden_size=8", "the network of these settings and data doesn't match"),
    ):
        assert expected in error_of(runs.train(setting, "resume_force=true", resume=run))
    runs.resume(run)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("scheduler=cosine", "scheduler=one_cycle", id="replaced"),
        pytest.param("scheduler=constant", "scheduler=cosine", id="added", marks=pytest.mark.slow),
        pytest.param("~scheduler", "scheduler=cosine", id="added, was null"),
        pytest.param("scheduler=cosine", "scheduler=constant", id="removed"),
        pytest.param("scheduler=cosine", "~scheduler", id="removed, set to null", marks=pytest.mark.slow),
    ],
)
def test_resume_force_refuses_another_scheduler(runs: Runs, before: str, after: str) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2, before)
    written = (run / "config.yaml").read_bytes()
    error = error_of(runs.train(after, "resume_force=true", resume=run))
    assert "cannot be resumed with another learning-rate schedule (scheduler._target_ was " in error
    assert (run / "config.yaml").read_bytes() == written
    runs.resume(run, before)


def test_completed_training_is_not_extended(runs: Runs) -> None:
    run = runs.stopped(ctrl_c_twice, "on_test_start", 1)
    ended = runs.train("trainer.max_epochs=3", "resume_force=true", resume=run)
    assert "has finished and only the test is missing: resume it with trainer.max_epochs=2" in error_of(ended)
    runs.resume(run)
    assert differences(run, runs.undisturbed()) == []


@dataclass(frozen=True)
class Job:
    """A simulated SLURM job."""

    number: str
    asked: Path
    """File with the arguments of all scontrol calls."""


@pytest.fixture
def job(workdir: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Job:
    """Makes this process appear as a SLURM job."""
    number = re.sub(r"\W", "-", request.node.name)
    asked, program = workdir / "asked", workdir / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", number)
    return Job(number, asked)


def test_requeued_job_resumes_automatically(runs: Runs, job: Job) -> None:
    with stopped(stop_signal, "on_train_batch_end", 3):
        assert runs.train().code == 130
    run = runs.folder(job.number)
    assert job.asked.read_text(encoding="utf-8") == f"requeue {job.number}\n"
    assert f"Resuming from {run / 'last.ckpt'}." in runs.train().err
    assert differences(run, runs.undisturbed()) == []
    before = (run / "results.json").stat().st_mtime_ns
    again = runs.command()
    assert (again.code, "is done" in again.err) == (0, True)
    assert (run / "results.json").stat().st_mtime_ns == before


def test_named_run_does_not_requeue_its_job(runs: Runs, job: Job) -> None:
    """A requeued job would start a new run."""
    runs.stopped(stop_signal, "on_train_batch_end", 3)
    assert not job.asked.exists()


@pytest.mark.parametrize("killed", [True, False])
def test_job_without_checkpoint_restarts(runs: Runs, job: Job, killed: bool) -> None:
    with stopped(ctrl_c_twice, "on_train_epoch_end"):
        assert runs.train().code == 130
    run = runs.folder(job.number)
    assert not (run / "last.ckpt").exists()
    if killed:
        (run / "results.json").unlink()
    ended = runs.train()
    assert ended.code == 0, ended.err
    assert differences(run, runs.undisturbed()) == []


@pytest.mark.parametrize("kept", [0, 400])
def test_job_with_truncated_config_restarts(runs: Runs, job: Job, kept: int) -> None:
    run = runs.folder(job.number)
    text = (runs.undisturbed() / "config.yaml").read_text(encoding="utf-8")
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(text[:kept], encoding="utf-8")
    ended = runs.train()
    assert ended.code == 0, ended.err
    assert differences(run, runs.undisturbed()) == []


def test_runs_of_one_job_are_resumed_separately(runs: Runs, job: Job) -> None:
    """A batch script loops over seeds and is requeued while the second seed trains."""
    assert runs.train().code == 0
    with stopped(stop_signal, "on_train_batch_end", 3):
        assert runs.train("seed=2").code == 130
    assert "is done" in runs.command().err
    assert runs.train("seed=2").code == 0
    folders = runs.folder(job.number).parent.glob(f"sample-{job.number}*")
    assert sorted(results_of(folder)["seed"] for folder in folders) == [1, 2]


def test_resume_refuses_another_average_of_the_weights(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    error = error_of(runs.train("callbacks=[default,ema]", resume=run))
    assert "was started with no callback that averages the weights and cannot be resumed with the callback" in error


def test_changed_patience_applies_after_resume(runs: Runs) -> None:
    settings = ("trainer.max_epochs=9", "optimizer.lr=1e-30")
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *settings, "callbacks.early_stopping.patience=5")
    runs.resume(run, *settings, "callbacks.early_stopping.patience=2")
    assert results_of(run)["epochs"] == 3


PLATEAU = ("scheduler=plateau", "trainer.max_epochs=4", "optimizer.lr=1e-6")
"""The accuracy never improves."""


@pytest.mark.slow
def test_changed_plateau_applies_after_resume(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *PLATEAU, "scheduler.patience=9")
    stderr = runs.resume(run, *PLATEAU, "scheduler.patience=0", "scheduler.factor=0.25", "resume_force=true").err
    assert "scheduler.patience changes to 0 (was 9)." in stderr
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    assert [1e6 * rate for rate in rates[::4]] == pytest.approx([1, 1, 0.25, 0.0625])


@pytest.mark.slow
def test_added_optimizer_argument_applies_after_resume(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5)
    runs.resume(run, "+optimizer.eps=0.1", "resume_force=true")
    (state,) = torch.load(run / "last.ckpt", weights_only=True)["optimizer_states"]
    assert state["param_groups"][0]["eps"] == 0.1


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("scheduler.warmup_fraction=0.5", "another scheduler.warmup_fraction (scheduler.warmup_fraction was 0.3 and"),
        ("+optimizer.amsgrad=true", "another optimizer.amsgrad (optimizer.amsgrad was None and is True): restore it"),
    ],
)
def test_resume_force_refuses_arguments_it_cannot_apply(runs: Runs, setting: str, refused: str) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    written = (run / "config.yaml").read_bytes()
    assert f"cannot be resumed with {refused}" in error_of(runs.train(setting, "resume_force=true", resume=run))
    assert (run / "config.yaml").read_bytes() == written


@pytest.mark.slow
def test_changed_frequency_rescales_the_schedule(runs: Runs) -> None:
    before = ("scheduler=linear", "trainer.max_epochs=3", "optimizer.lr=0.01")
    run = runs.stopped(stop_signal, "on_train_batch_end", 4, *before)
    runs.resume(run, *before, "+scheduler.frequency=2", "resume_force=true")
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    assert [rate * 1200 for rate in rates] == pytest.approx([12, 11, 10, 9, 8, 8, 6, 6, 4, 4, 2, 2])
