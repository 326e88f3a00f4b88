"""Runs interrupted by Ctrl-C or the stop signal save their state and report it."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from running import TINY, Ended, only_run, paths_in, results_of, sluice, train
from sluice.modules.classification import ClassificationModule
from sluice.recipes.imdb import ImdbRecipe
from stopping import ctrl_c, keyboard_interrupt, stop_signal, stopped

LONGER = ("trainer.max_epochs=2", "trainer.limit_train_batches=5", "task.data.batch_size=8")


def interrupted_after(batches: int, home: Path) -> Ended:
    """Trains with Ctrl-C after the given number of batches."""
    with stopped(ctrl_c, "on_train_batch_end", batches):
        return train(*TINY, *LONGER, *paths_in(home))


def test_ctrl_c_in_first_epoch_saves_last_checkpoint(workdir: Path) -> None:
    ended = interrupted_after(3, workdir)
    run = only_run(workdir)
    assert ended.code == 130
    assert "Traceback" not in ended.err + ended.out
    last = torch.load(run / "last.ckpt", weights_only=True)
    assert last["global_step"] == 3
    assert last["optimizer_states"]
    results = results_of(run)
    assert results["interrupted"] is True
    assert not any(name.startswith(("test/", "val/")) for name in results)
    assert "Interrupted" in ended.out
    assert "last.ckpt" in ended.out
    assert sluice("predict", run, "a moving film").code == 0


def test_ctrl_c_in_later_epoch_prints_best_metric(workdir: Path) -> None:
    ended = interrupted_after(7, workdir)
    run = only_run(workdir)
    results = results_of(run)
    assert ended.code == 130
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 7
    assert torch.load(run / "best.ckpt", weights_only=True)["global_step"] == 5
    assert f"{results['val/accuracy']:.4f}" in ended.out
    assert results["epochs"] == 1
    assert not any(name.startswith("test/") for name in results)


def test_ctrl_c_during_test_keeps_checkpoints(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[bytes] = []

    def press(*ignored: Any) -> None:
        (last,) = workdir.rglob("last.ckpt")
        before.append(last.read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(ClassificationModule, "test_step", press)
    ended = train(*TINY, *LONGER, *paths_in(workdir))
    run = only_run(workdir)
    results = results_of(run)
    assert ended.code == 130
    assert results["interrupted"] is True
    assert "val/accuracy" in results
    assert not any(name.startswith("test/") for name in results)
    assert before == [(run / "last.ckpt").read_bytes()], "testing the best weights must not change last.ckpt"


def test_ctrl_c_before_training_leaves_no_files(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*ignored: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImdbRecipe, "build_data", press)
    ended = train(*TINY, *paths_in(workdir))
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "sluice: interrupted")
    assert not list((workdir / "output").glob("imdb/*"))


def test_ctrl_c_ends_the_sweep(workdir: Path) -> None:
    with stopped(keyboard_interrupt, "on_train_batch_end"):
        ended = train("-m", *TINY, "seed=1,2", *paths_in(workdir))
    assert ended.code == 130
    assert results_of(only_run(workdir))["seed"] == 1


def test_stop_signal_saves_and_prints_resume_command(workdir: Path) -> None:
    with stopped(stop_signal, "on_train_batch_end", 2):
        ended = train(*TINY, *LONGER, *paths_in(workdir))
    (last,) = workdir.rglob("last.ckpt")
    assert ended.code == 130
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert "Stopped by SIGUSR1." in ended.err
    assert ended.err.splitlines()[-1] == f"python train.py resume={last.parent}"
    assert not (last.parent / "results.json").exists(), "a stopped run has no results"


def test_stop_signal_is_configurable(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGUSR2)
    try:
        with stopped(lambda: signal.raise_signal(signal.SIGUSR2), "on_train_batch_end", 2):
            ended = train(*TINY, *LONGER, "checkpoint.stop_signal=SIGUSR2", *paths_in(workdir))
    finally:
        signal.signal(signal.SIGUSR2, handler)
    assert ended.code == 130
    assert "Stopped by SIGUSR2" in ended.err


def test_signal_handlers_are_restored_after_training(workdir: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)]
    assert train(*TINY, *paths_in(workdir)).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)] == before
