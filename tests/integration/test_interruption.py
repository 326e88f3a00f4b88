"""Ctrl-C: what is kept and what is told."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from running import TINY, Ended, only_run, places, results_of, sluice, train
from sluice.modules.classification import ClassificationModule
from sluice.recipes.imdb import ImdbRecipe
from stopping import ctrl_c, raised, stop_signal, stopped

LONGER = ("trainer.max_epochs=2", "trainer.limit_train_batches=5", "task.data.batch_size=8")


def interrupted_after(batches: int, home: Path) -> Ended:
    """A run with Ctrl-C after so many batches."""
    with stopped(ctrl_c, "on_train_batch_end", batches):
        return train(*TINY, *LONGER, *places(home))


def test_in_the_first_epoch_the_last_state_is_kept(workplace: Path) -> None:
    ended = interrupted_after(3, workplace)
    run = only_run(workplace)
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


def test_in_a_later_epoch_the_best_so_far_is_told(workplace: Path) -> None:
    ended = interrupted_after(7, workplace)
    run = only_run(workplace)
    results = results_of(run)
    assert ended.code == 130
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 7
    assert torch.load(run / "best.ckpt", weights_only=True)["global_step"] == 5
    assert f"{results['val/accuracy']:.4f}" in ended.out
    assert results["epochs"] == 1
    assert not any(name.startswith("test/") for name in results)


def test_during_the_test_training_is_not_lost(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[bytes] = []

    def press(*ignored: Any) -> None:
        (last,) = workplace.rglob("last.ckpt")
        before.append(last.read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(ClassificationModule, "test_step", press)
    ended = train(*TINY, *LONGER, *places(workplace))
    run = only_run(workplace)
    results = results_of(run)
    assert ended.code == 130
    assert results["interrupted"] is True
    assert "val/accuracy" in results
    assert not any(name.startswith("test/") for name in results)
    assert before == [(run / "last.ckpt").read_bytes()], "the best weights, which were tested, are not the last"


def test_before_training_nothing_is_left_and_no_traceback_shown(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*ignored: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImdbRecipe, "build_data", press)
    ended = train(*TINY, *places(workplace))
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "sluice: interrupted")
    assert not list((workplace / "output").glob("imdb/*"))


def test_in_a_sweep_the_other_runs_do_not_start(workplace: Path) -> None:
    with stopped(raised, "on_train_batch_end"):
        ended = train("-m", *TINY, "seed=1,2", *places(workplace))
    assert ended.code == 130
    assert results_of(only_run(workplace))["seed"] == 1


def test_the_stop_signal_saves_and_says_how_to_go_on(workplace: Path) -> None:
    with stopped(stop_signal, "on_train_batch_end", 2):
        ended = train(*TINY, *LONGER, *places(workplace))
    (last,) = workplace.rglob("last.ckpt")
    assert ended.code == 130
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert "Stopped by SIGUSR1." in ended.err
    assert ended.err.splitlines()[-1] == f"python train.py resume={last.parent}"
    assert not (last.parent / "results.json").exists(), "it isn't a result yet"


def test_another_stop_signal_can_be_chosen(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGUSR2)
    try:
        with stopped(lambda: signal.raise_signal(signal.SIGUSR2), "on_train_batch_end", 2):
            ended = train(*TINY, *LONGER, "checkpoint.stop_signal=SIGUSR2", *places(workplace))
    finally:
        signal.signal(signal.SIGUSR2, handler)
    assert ended.code == 130
    assert "Stopped by SIGUSR2" in ended.err


def test_signals_belong_to_others_again_after_training(workplace: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)]
    assert train(*TINY, *places(workplace)).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)] == before
