"""resume=: a run that was stopped, wherever it was, ends as if it had never stopped."""

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

from likeness import curves_of, differences, rows_of
from running import CONF, SAMPLE, Ended, complaint, places, results_of, train, train_composed
from sluice.config.compose import compose_config
from stopping import ctrl_c, ctrl_c_twice, raised, stop_signal, stopped

SETTINGS = (
    *("task.data.batch_size=16", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu"),
    *("model.hidden_size=4", "embedding.size=4", *SAMPLE),
)
"""Eight batches in two epochs; one_cycle, early stopping and dropout of words and outputs are the defaults."""

OFTEN = ("checkpoint.every_steps=1",)

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of these tests lie."""
    folder = tmp_path_factory.mktemp("resuming")
    (folder / "data").mkdir()
    return folder


class Runs:
    """Runs by name, and the undisturbed one for any settings."""

    def __init__(self, home: Path) -> None:
        self.home, self.number = home, 0
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def command(self, *settings: str) -> Ended:
        """python train.py ..."""
        return train(*SETTINGS, *settings, *places(self.home))

    def train(self, *settings: str, name: str | None = None, resume: Path | None = None) -> Ended:
        """The same, faster."""
        if settings not in self.composed:
            self.composed[settings] = compose_config([*SETTINGS, *settings, *places(self.home)], CONF)
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
        """A run stopped when the hook has been called so many times."""
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
        pytest.param("on_train_end", 1, id="end of training"),
    ],
)
def test_a_run_told_to_stop_goes_on_as_if_it_had_not_been(runs: Runs, hook: str, time: int) -> None:
    run = runs.stopped(stop_signal, hook, time)
    said = runs.resume(run).err
    assert f"Resuming from {run / 'last.ckpt'}." in said
    assert differences(run, runs.undisturbed()) == []


@pytest.mark.parametrize("time", [2, 5])
def test_a_run_after_ctrl_c_too(runs: Runs, time: int) -> None:
    run = runs.stopped(ctrl_c, "on_train_batch_start", time)
    assert results_of(run)["interrupted"] is True
    runs.resume(run)
    assert differences(run, runs.undisturbed()) == []


@pytest.mark.parametrize(
    ("hook", "time"),
    [
        pytest.param("on_train_batch_start", 3, id="before a batch"),
        pytest.param("on_after_backward", 3, id="within a batch"),
        pytest.param("on_before_optimizer_step", 4, id="within a step"),
        pytest.param("on_validation_batch_end", 1, id="validation"),
        pytest.param("on_train_epoch_end", 1, id="end of an epoch"),
        pytest.param("on_train_end", 1, id="end of training"),
        pytest.param("on_test_start", 1, id="before the test"),
        pytest.param("on_test_batch_end", 1, id="test"),
        pytest.param("on_test_end", 1, id="after the test"),
    ],
)
def test_a_run_broken_off_anywhere_goes_on_from_its_last_checkpoint(runs: Runs, hook: str, time: int) -> None:
    run = runs.stopped(ctrl_c_twice, hook, time, *OFTEN)
    runs.resume(run, *OFTEN)
    assert differences(run, runs.undisturbed(*OFTEN)) == []


@pytest.mark.parametrize("by", [ctrl_c_twice, raised])
def test_breaking_off_at_the_end_of_a_batch_loses_no_row(runs: Runs, by: Callable[[], None]) -> None:
    run = runs.stopped(by, "on_train_batch_end", 3)
    if (run / "last.ckpt").exists():
        runs.resume(run)
        assert differences(run, runs.undisturbed()) == []


def test_breaking_off_while_gradients_are_summed_up_loses_none(runs: Runs) -> None:
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
        pytest.param(("trainer.accumulate_grad_batches=2",), id="accumulated gradients", marks=pytest.mark.slow),
        pytest.param(("trainer.accumulate_grad_batches=3",), id="accumulated gradients that do not come out even"),
        pytest.param(
            ("trainer.check_val_every_n_epoch=2", "trainer.log_every_n_steps=3"), id="seldom", marks=pytest.mark.slow
        ),
        pytest.param(("+trainer.val_check_interval=2",), id="validation within the epoch", marks=pytest.mark.slow),
        pytest.param(("task.data.max_tokens=3000", "trainer.limit_train_batches=3"), id="token budget"),
        pytest.param(
            ("task.monitor=val/loss", "task.mode=min", "embedding=onehot"), id="least loss", marks=pytest.mark.slow
        ),
        pytest.param(
            ("scheduler=plateau", "scheduler.patience=0", "task.monitor=val/loss"),
            id="plateau",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_whatever_is_set_makes_no_difference(runs: Runs, settings: tuple[str, ...]) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *settings)
    runs.resume(run, *settings)
    assert differences(run, runs.undisturbed(*settings)) == []


def test_a_run_may_be_stopped_after_every_batch(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 1)
    for _ in range(6):
        with stopped(stop_signal, "on_train_batch_end"):
            assert runs.train(resume=run).code == 130
    runs.resume(run)
    assert differences(run, runs.undisturbed()) == []


def test_the_stop_signal_does_no_harm_during_the_test(runs: Runs) -> None:
    reached: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: reached.append(number))
    try:
        with stopped(stop_signal, "on_test_batch_start"):
            runs.train(name="tested")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert reached == []


def test_a_stop_waits_until_the_gradients_summed_up_are_used(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 1, "trainer.accumulate_grad_batches=2")
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 1


def test_a_run_that_stopped_early_does_not_train_on(runs: Runs) -> None:
    settings = ("trainer.max_epochs=9", "callbacks.early_stopping.patience=1")
    run = runs.stopped(ctrl_c_twice, "on_test_start", 1, *settings)
    before = torch.load(run / "last.ckpt", weights_only=True)["global_step"]
    runs.resume(run, *settings)
    assert before < 36
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == before
    assert differences(run, runs.undisturbed(*settings)) == []


def test_a_run_that_ends_within_an_epoch_can_go_on_in_that_epoch(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 4, "trainer.max_steps=6")
    runs.resume(run, "trainer.max_steps=6")
    assert differences(run, runs.undisturbed("trainer.max_steps=6")) == []


def test_tensorboards_own_reader_shows_no_step_twice(runs: Runs) -> None:
    run = runs.stopped(ctrl_c_twice, "on_validation_start", 1, *OFTEN)
    runs.resume(run, *OFTEN)
    events = plugin_event_accumulator.EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    assert [point.step for point in events.Tensors("train/loss")] == list(range(8))


def test_a_run_may_be_moved_while_it_lies_still(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5)
    moved = Path(shutil.move(run, run.with_name("sample-moved")))
    runs.resume(moved)
    assert differences(moved, runs.undisturbed()) == []


def test_the_columns_and_curves_that_are_compared_are_there(runs: Runs) -> None:
    rows, curves = rows_of(runs.undisturbed()), curves_of(runs.undisturbed())
    assert [row["step"] for row in rows if "train/loss" in row] == [str(step) for step in range(8)]
    assert [step for step, _ in curves["train/loss"]] == list(range(8))
    assert [step for step, _ in curves["val/accuracy"]] == [3, 7]
    assert len(curves["test/accuracy"]) > 0


def test_the_clock_goes_on(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    seconds = torch.load(run / "last.ckpt", weights_only=True)["moment"]["seconds"]
    time.sleep(1)
    started = time.monotonic()
    runs.resume(run)
    assert 0 < seconds < 60 * results_of(run)["minutes"] < seconds + time.monotonic() - started


def test_last_is_the_newest_run(runs: Runs) -> None:
    older, newer = (runs.stopped(stop_signal, "on_train_batch_end", 2) for _ in range(2))
    os.utime(newer / "last.ckpt", (time.time() + 1000,) * 2)
    assert f"Resuming from {newer / 'last.ckpt'}." in runs.command("resume=last").err
    assert (newer / "results.json").exists()
    assert not (older / "results.json").exists()
    (newer / "last.ckpt").unlink()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_of_a_damaged_checkpoint_the_one_before_is_taken_and_said(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *OFTEN)
    cut_short(run / "last.ckpt")
    said = runs.resume(run, *OFTEN).err
    assert f"{run / 'last.ckpt'} is truncated, corrupted or not a checkpoint" in said
    assert f"Resuming from {run / 'previous.ckpt'}." in said
    assert differences(run, runs.undisturbed(*OFTEN)) == []


def test_a_missing_checkpoint_too(runs: Runs) -> None:
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
    """The same, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "own"))


class TestComplaints:
    """One sentence and exit code 2."""

    def test_other_settings(self, runs: Runs, run: Path) -> None:
        said = complaint(runs.command(f"resume={run}", "optimizer.lr=0.5", "seed=2"))
        assert f"the run in {run} was started with other settings: " in said
        assert re.search(r"optimizer.lr was 0\.\d+ and is 0.5", said)
        assert "seed was 1 and is 2" in said
        assert "resume_force=true" in said
        assert "model" not in said.replace(str(run), "")

    def test_another_model(self, runs: Runs, run: Path) -> None:
        said = complaint(runs.command(f"resume={run}", "model=rnn_relu", "seed=2"))
        assert "model.name was " in said
        assert "and is 'rnn_relu'; restore them" in said
        assert "seed" not in said.replace(str(run), "")

    def test_settings_that_may_differ(self, runs: Runs, own: Path) -> None:
        free = ("name=other", "checkpoint.every_minutes=1", "logger=none", "trainer.max_time=00:01:00:00")
        runs.resume(own, *free)

    def test_two_checkpoints_cut_short(self, runs: Runs, own: Path) -> None:
        for name in ("last.ckpt", "previous.ckpt"):
            cut_short(own / name)
        assert f"{own / 'previous.ckpt'} is truncated, corrupted or not a checkpoint" in complaint(
            runs.command(f"resume={own}")
        )

    def test_weights_only(self, runs: Runs, own: Path) -> None:
        shutil.copy(own / "best.ckpt", own / "last.ckpt")
        (own / "previous.ckpt").unlink()
        said = complaint(runs.command(f"resume={own}"))
        assert f"{own / 'last.ckpt'} contains only weights" in said

    def test_a_file_instead_of_a_folder(self, runs: Runs, run: Path) -> None:
        said = complaint(runs.command(f"resume={run / 'best.ckpt'}"))
        assert "give the folder of a run, or resume=last" in said

    def test_no_checkpoint(self, runs: Runs, own: Path) -> None:
        for name in ("last.ckpt", "previous.ckpt"):
            (own / name).unlink()
        assert f"{own} has no last.ckpt to resume from" in complaint(runs.command(f"resume={own}"))

    def test_no_configuration(self, runs: Runs, own: Path) -> None:
        (own / "config.yaml").unlink()
        assert "config.yaml cannot be read" in complaint(runs.command(f"resume={own}"))

    def test_an_empty_folder(self, runs: Runs, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        said = complaint(runs.command(f"resume={tmp_path / 'empty'}"))
        assert "has no last.ckpt to resume from" in said

    def test_a_folder_that_is_not_there(self, runs: Runs, tmp_path: Path) -> None:
        said = complaint(runs.command(f"resume={tmp_path / 'nowhere'}"))
        assert f"resume={tmp_path / 'nowhere'} doesn't exist: give the folder of a run, or resume=last" in said

    def test_no_run_at_all(self, tmp_path: Path) -> None:
        said = complaint(train(*SETTINGS, "resume=last", *places(tmp_path)))
        assert f"resume=last cannot be used: no run in {tmp_path / 'output' / 'imdb' / 'lstm'} has a last.ckpt" in said

    def test_the_name_of_a_run_that_is_there(self, runs: Runs, run: Path) -> None:
        assert f"resume={run}" in complaint(runs.command(f"name={run.name}"))


def test_other_settings_can_be_forced_and_are_said(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    said = runs.resume(run, "trainer.max_epochs=3", "optimizer.lr=0.5", "resume_force=true").err
    assert "Resuming with changed settings: " in said
    assert "trainer.max_epochs was 2 and is 3" in said
    assert results_of(run)["epochs"] == 3


def test_a_run_that_is_done_says_so_and_is_left_alone(runs: Runs) -> None:
    run = runs.undisturbed()
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    ended = runs.command(f"resume={run}")
    assert ended.code == 0
    assert f"the run in {run} is done: its results are in results.json" in ended.err
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_a_run_that_is_done_is_not_resumed_with_other_settings(runs: Runs) -> None:
    run = runs.undisturbed()
    said = complaint(runs.command(f"resume={run}", "trainer.max_epochs=4", "resume_force=true"))
    assert "is done and cannot be resumed with other settings (trainer.max_epochs was 2 and is 4)" in said
    assert f"start a new run from its weights with init_from={run}" in said


UNLIKE = ("scheduler=cosine", "optimizer=sgd", "+trainer.min_epochs=1")


@pytest.mark.parametrize("of", ["", "last.ckpt"])
def test_resume_alone_takes_every_setting(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    name = f"alone-{of}"
    with stopped(stop_signal, "on_train_batch_end", 5):
        said = runs.command(*UNLIKE, f"name={name}").err
    monkeypatch.chdir(tmp_path)
    command = shlex.split(said.splitlines()[-1])
    ended = train(f"resume={runs.folder(name) / of}") if of else train(*command[2:])
    assert ended.code == 0, ended.err
    assert "other settings" not in ended.err
    assert differences(runs.folder(name), runs.undisturbed(*UNLIKE)) == []


def test_an_older_run_is_resumed_from_its_configuration(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, *UNLIKE)
    assert not (run / "overrides.yaml").exists()
    assert "task.max_epochs cannot be changed" in complaint(train(f"resume={run}", "task.max_epochs=5"))
    ended = train(f"resume={run}", "checkpoint.every_minutes=1")
    assert ended.code == 0, ended.err
    assert differences(run, runs.undisturbed(*UNLIKE)) == []


def test_a_longer_training_stretches_its_schedule_and_stays_longer(runs: Runs) -> None:
    with stopped(stop_signal, "on_train_batch_end", 5):
        runs.command("name=longer")
    run = runs.folder("longer")
    longer = ("trainer.max_epochs=4", "resume_force=true")
    assert "was started with other settings: trainer.max_epochs was 2 and is 4" in complaint(
        train(f"resume={run}", longer[0])
    )
    with stopped(stop_signal, "on_train_batch_end", 4):
        said = train(f"resume={run}", *longer).err
    assert "The learning-rate schedule is stretched from step 5 to end at step 16." in said
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
    said = runs.resume(run, *before, change, "resume_force=true").err
    assert f"to end at step {end}." in said
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == end
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    assert all(later < earlier for earlier, later in itertools.pairwise(dict.fromkeys(rates)))
    assert min(rates) > 0
    assert checkpoint["lr_schedulers"][0]["_last_lr"] == pytest.approx([0], abs=1e-9)


@pytest.mark.parametrize(
    "scheduler", ["one_cycle", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cosine", "constant"))]
)
def test_another_learning_rate_holds_from_the_resumption_on(runs: Runs, scheduler: str) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 5, f"scheduler={scheduler}", "optimizer.lr=0.004")
    ended = runs.train(f"scheduler={scheduler}", "optimizer.lr=0.001", "resume_force=true", resume=run)
    assert ended.code == 0, ended.err
    rates = [float(row["train/learning_rate"]) for row in rows_of(run) if "train/learning_rate" in row]
    whole = rows_of(runs.undisturbed(f"scheduler={scheduler}", "optimizer.lr=0.004"))
    before = [float(row["train/learning_rate"]) for row in whole if "train/learning_rate" in row]
    factors = [rate / other for rate, other in zip(rates, before, strict=True)]
    assert factors == pytest.approx([1.0] * 5 + [0.25] * 3)


def test_what_a_checkpoint_cannot_follow_is_refused_though_forced(runs: Runs) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2)
    for setting, expected in (
        ("optimizer=sgd", "cannot be resumed with another optimizer"),
        ("model.hidden_size=8", "the network of these settings and data doesn't match"),
    ):
        assert expected in complaint(runs.train(setting, "resume_force=true", resume=run))
    runs.resume(run)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("scheduler=cosine", "scheduler=one_cycle", id="another"),
        pytest.param("scheduler=constant", "scheduler=cosine", id="added"),
        pytest.param("~scheduler", "scheduler=cosine", id="added to null"),
        pytest.param("scheduler=cosine", "scheduler=constant", id="removed"),
        pytest.param("scheduler=cosine", "~scheduler", id="removed for null"),
    ],
)
def test_another_schedule_is_refused_though_forced(runs: Runs, before: str, after: str) -> None:
    run = runs.stopped(stop_signal, "on_train_batch_end", 2, before)
    written = (run / "config.yaml").read_bytes()
    said = complaint(runs.train(after, "resume_force=true", resume=run))
    assert "cannot be resumed with another learning-rate schedule (scheduler._target_ was " in said
    assert (run / "config.yaml").read_bytes() == written
    runs.resume(run, before)


def test_a_training_that_has_ended_is_not_lengthened(runs: Runs) -> None:
    run = runs.stopped(ctrl_c_twice, "on_test_start", 1)
    ended = runs.train("trainer.max_epochs=3", "resume_force=true", resume=run)
    assert "has finished and only the test is missing: resume it with trainer.max_epochs=2" in complaint(ended)
    runs.resume(run)
    assert differences(run, runs.undisturbed()) == []


@dataclass(frozen=True)
class Job:
    """A job of SLURM's as far as a run sees it."""

    number: str
    asked: Path
    """What it asked SLURM for."""


@pytest.fixture
def job(workplace: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Job:
    """This process is one, of its own number."""
    number = re.sub(r"\W", "-", request.node.name)
    asked, program = workplace / "asked", workplace / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", number)
    return Job(number, asked)


def test_a_job_that_is_started_again_goes_on_by_itself(runs: Runs, job: Job) -> None:
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


def test_a_run_of_another_name_does_not_ask_for_its_job_again(runs: Runs, job: Job) -> None:
    """It would begin anew."""
    runs.stopped(stop_signal, "on_train_batch_end", 3)
    assert not job.asked.exists()


@pytest.mark.parametrize("killed", [True, False])
def test_a_job_that_ended_before_its_first_checkpoint_begins_again(runs: Runs, job: Job, killed: bool) -> None:
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
def test_a_job_killed_while_it_wrote_its_configuration_begins_again(runs: Runs, job: Job, kept: int) -> None:
    run = runs.folder(job.number)
    text = (runs.undisturbed() / "config.yaml").read_text(encoding="utf-8")
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(text[:kept], encoding="utf-8")
    ended = runs.train()
    assert ended.code == 0, ended.err
    assert differences(run, runs.undisturbed()) == []


def test_another_run_of_the_same_job_is_not_taken_for_the_first(runs: Runs, job: Job) -> None:
    """As in a batch script with a loop over seeds; the second is stopped, and all start again."""
    assert runs.train().code == 0
    with stopped(stop_signal, "on_train_batch_end", 3):
        assert runs.train("seed=2").code == 130
    assert "is done" in runs.command().err
    assert runs.train("seed=2").code == 0
    folders = runs.folder(job.number).parent.glob(f"sample-{job.number}*")
    assert sorted(results_of(folder)["seed"] for folder in folders) == [1, 2]
