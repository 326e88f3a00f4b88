"""Run folders have one writer and a unique name, and invalid settings fail before data is read."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from processes import Started
from running import SAMPLE, TINY, error_of, joined, only_run, paths_in, results_of, train
from sluice.cli.train import resume_command
from sluice.data.corpora import imdb
from sluice.errors import UserError
from sluice.recipes.imdb import ImdbRecipe
from sluice.runs.lease import Lease
from sluice.targets import instantiate
from stopping import ctrl_c, ctrl_c_twice, stopped

LONGER = ("trainer.max_epochs=2", "trainer.limit_train_batches=5", "task.data.batch_size=8")


@pytest.fixture
def run(workdir: Path) -> Path:
    """The folder of the run named `mine`."""
    return workdir / "output" / "imdb" / "lstm" / "sample-mine"


@pytest.fixture
def settings(workdir: Path) -> tuple[str, ...]:
    return (*TINY, *LONGER, "name=mine", *paths_in(workdir))


@pytest.fixture
def held(run: Path) -> Iterator[Lease]:
    """The lease of the folder, held as if by another run."""
    run.mkdir(parents=True)
    lease = Lease.acquire(run)
    yield lease
    lease.release()


def test_folder_in_use_is_refused(run: Path, settings: tuple[str, ...], held: Lease) -> None:
    error = error_of(train(*settings))
    assert f"the run in {run} is being written by process {os.getpid()} on" in error
    assert "try again in" in error
    assert list(run.iterdir()) == [held.path]


def test_refused_run_leaves_no_other_folder(run: Path, settings: tuple[str, ...], held: Lease, workdir: Path) -> None:
    logger = "+logger.own={_target_: pytorch_lightning.loggers.CSVLogger, save_dir: extra}"
    assert "is being written by process" in error_of(train(*settings, logger))
    assert not (workdir / "extra").exists()


def test_run_in_use_cannot_be_resumed(run: Path, settings: tuple[str, ...]) -> None:
    with stopped(ctrl_c, "on_train_batch_end", 3):
        assert train(*settings).code == 130
    lease = Lease.acquire(run)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    assert "is being written by process" in error_of(train(f"resume={run}"))
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    lease.release()


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_end", "on_test_start"])
def test_run_that_lost_its_lease_stops_writing(run: Path, settings: tuple[str, ...], hook: str) -> None:
    before: dict[str, bytes] = {}

    def take_over() -> None:
        os.utime(run / ".lease-1", (0, 0))
        Lease.acquire(run).release()
        before.update({file.name: file.read_bytes() for file in run.iterdir() if file.suffix in (".ckpt", ".csv")})

    with stopped(take_over, hook, 2 if hook == "on_train_batch_end" else 1):
        error = error_of(train(*settings, "checkpoint.every_steps=1", "trainer.log_every_n_steps=1"))
    assert f"the run in {run} no longer belongs to this process" in error
    assert not (run / "results.json").exists()
    assert not (run / "error.txt").exists()
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.suffix in (".ckpt", ".csv")} == before


def test_folder_without_checkpoint_is_reused(run: Path, settings: tuple[str, ...]) -> None:
    with stopped(ctrl_c_twice, "on_train_epoch_end"):
        ended = train(*settings, "model.hidden_size=8")
    assert ended.code == 130
    assert not (run / "last.ckpt").exists()
    assert ended.err.splitlines()[-1].endswith("start again with the same command.")
    events = set(run.glob("events.out.*"))
    assert "start without resume=, the name can be used again" in error_of(train(f"resume={run}"))
    assert train(*settings).code == 0
    assert results_of(run)["epochs"] == 2
    assert "hidden_size: 8" not in (run / "config.yaml").read_text(encoding="utf-8")
    assert not events & set(run.glob("events.out.*"))


def test_usage_hint_needs_a_checkpoint(settings: tuple[str, ...]) -> None:
    with stopped(ctrl_c_twice, "on_train_batch_end"):
        out = train(*settings).out
    assert "Run: " in out
    assert "Use it" not in out


def test_name_of_existing_run_is_refused(run: Path, settings: tuple[str, ...]) -> None:
    with stopped(ctrl_c, "on_train_batch_end", 3):
        train(*settings)
    error = error_of(train(*settings))
    assert error.endswith(f"choose another name=, resume it with resume={run}, or delete the folder")


def test_interrupted_run_leaves_no_error_file(run: Path, settings: tuple[str, ...]) -> None:
    with stopped(ctrl_c, "on_train_batch_end", 3):
        ended = train(*settings)
    assert ended.err.splitlines()[-1] == f"python train.py resume={run}"
    assert not list(run.glob("error*"))
    (run / "error.txt").write_text("of an earlier attempt", encoding="utf-8")
    assert train(f"resume={run}").code == 0
    assert not list(run.glob("error*"))


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def test_sighup_saves_and_stops(run: Path, settings: tuple[str, ...]) -> None:
    with stopped(hang_up, "on_train_batch_end", 3):
        ended = train(*settings)
    assert (ended.code, (run / "last.ckpt").exists()) == (130, True)
    assert "Stopped by SIGHUP." in ended.err
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_nohup_ignores_sighup(settings: tuple[str, ...]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped(hang_up, "on_train_batch_end", 3):
            assert train(*settings).code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["plain", "with space", 'quo"te', "a'b", "ünï", "a=b,c", "$x", "end\\", "${y}"])
def test_resume_command_survives_shell_and_hydra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "-cd", "my conf", "-m", "task=imdb"])
    *start, last = shlex.split(resume_command(Path("/runs") / name))
    assert start == ["python", "train.py", "-cd", "my conf"]
    (override,) = OverridesParser.create().parse_overrides([last])
    assert str(override.value()).replace(r"\${", "${") == f"/runs/{name}"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("name='a b'",), "name='a b' cannot be used"),
        (("name=there",), "already contains a run"),
        (("name=there", "task.data.source=auto"), "already contains a run"),
        (("resume=nowhere",), "resume=nowhere doesn't exist"),
        (("init_from=nowhere",), "init_from=nowhere does not exist"),
        (("trainer.precision=17",), "trainer.precision=17 cannot be used: it must be 64 or 32"),
        (("trainer.strategy=fast",), "trainer.strategy=fast cannot be used: it must be one of auto, ddp"),
        (("trainer.devices=0",), "trainer.devices=0 cannot be used"),
        (("trainer.accelerator=abacus",), "trainer.accelerator=abacus cannot be used: it must be one of auto, cpu"),
        (("+trainer.nonsense=1",), "trainer cannot be built"),
    ],
    ids=joined,
)
def test_invalid_settings_are_reported_before_reading_data(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], expected: str
) -> None:
    def read(*ignored: Any, **also_ignored: Any) -> Any:
        raise AssertionError("the data is read")

    monkeypatch.setattr(ImdbRecipe, "find_corpus", read)
    for name in ("there", "sample-there"):
        there = workdir / "output" / "imdb" / "lstm" / name
        there.mkdir(parents=True)
        (there / "last.ckpt").touch()
    before = sorted((workdir / "output").rglob("*"))
    assert expected in error_of(train(*TINY, *paths_in(workdir), *settings))
    assert sorted((workdir / "output").rglob("*")) == before


EXPLODING = ("optimizer=sgd", "optimizer.lr=1e30", "trainer.gradient_clip_val=null", "scheduler=constant")


def test_nan_loss_stops_the_run(run: Path, settings: tuple[str, ...]) -> None:
    every = ("trainer.log_every_n_steps=2", "checkpoint.every_steps=1")
    error = error_of(train(*settings, *EXPLODING, *every))
    assert "the training loss became NaN or infinite between optimizer steps " in error
    assert "(learning rate 1e+30, gradient norm" in error
    assert error.endswith("set stop_on_nan=false to continue training")
    assert not (run / "error.txt").exists()
    assert not (run / "best.ckpt").exists()


@pytest.mark.parametrize(
    "task",
    [
        ("task=word2vec", "optimizer.lr=1e30", *SAMPLE, "task.data.batch_size=8"),
        ("task=adding", *EXPLODING, "model.hidden_size=4"),
    ],
    ids=lambda task: task[0],
)
def test_nan_loss_stops_every_kind_of_task(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, task: tuple[str, ...]
) -> None:
    monkeypatch.setattr(instantiate, "_try_optimizer", lambda *arguments: None)  # it would refuse the learning rate
    every = ("debug=fast", "trainer.limit_train_batches=6", "trainer.accelerator=cpu")
    error = error_of(train(*task, *every, *paths_in(workdir)))
    assert "the training loss became NaN or infinite between optimizer steps " in error


def test_nan_results_are_valid_json(run: Path, settings: tuple[str, ...]) -> None:
    ended = train(*settings, *EXPLODING, "stop_on_nan=false")
    assert ended.code == 0, ended.err
    text = (run / "results.json").read_text(encoding="utf-8")
    results = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert results["test/loss"] is None
    assert results["debug"] == "fast"


def test_results_record_that_no_debug_preset_was_used(workdir: Path) -> None:
    whole = [setting for setting in TINY if setting != "debug=fast"]
    assert train(*whole, "trainer.max_epochs=1", *paths_in(workdir)).code == 0
    assert results_of(only_run(workdir))["debug"] is None


def test_sample_fallback_run_is_resumed(run: Path, settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data_dir: Path) -> None:
        raise UserError("no connection")

    monkeypatch.setattr(imdb, "download_imdb", refuse)
    with stopped(ctrl_c, "on_train_batch_end", 3):
        train(*settings, "task.data.source=auto")
    assert train(f"resume={run}").code == 0
    again = train(f"resume={run}")
    assert (again.code, "is done: its results are in results.json" in again.err) == (0, True)


@pytest.mark.slow
def test_concurrent_start_with_one_name_is_refused(workdir: Path, run: Path, settings: tuple[str, ...]) -> None:
    both = [Started(*settings, "trainer.limit_train_batches=null", cwd=workdir) for _ in range(2)]
    winner, loser = sorted((started.ended() for started in both), key=lambda ended: ended.code)
    assert (winner.code, loser.code) == (0, 2), (winner.err, loser.err)
    assert "is being written by" in loser.err or "already contains a run" in loser.err
    assert (run / "log.txt").read_text(encoding="utf-8").count("epoch 1/2 (") == 1


@pytest.mark.slow
def test_killed_run_can_be_resumed_immediately(workdir: Path, run: Path, settings: tuple[str, ...]) -> None:
    started = Started(*settings, "trainer.limit_train_batches=null", "checkpoint.every_steps=1", cwd=workdir)
    started.wait_for(run / "last.ckpt")
    started.process.kill()
    started.ended()
    assert len(list(run.glob(".lease-*"))) == 1
    assert train(f"resume={run}").code == 0
    assert list(run.glob(".lease-*")) == []
