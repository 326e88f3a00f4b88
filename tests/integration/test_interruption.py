"""Ctrl-C: what is kept and what is told."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from running import TINY, Ended, only_run, places, results_of, sluice, train
from sluice.callbacks.vitals import Vitals
from sluice.cli import training
from sluice.tasks.classification import ClassificationTask

LONGER = ("trainer.max_epochs=2", "trainer.limit_train_batches=5", "task.data.batch_size=8")


@pytest.fixture(autouse=True)
def _ctrl_c_works_again() -> Iterator[None]:
    """Lightning ignores Ctrl-C from the first one on."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def interrupted_after(steps: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """A run with Ctrl-C after so many optimizer steps."""
    counted = Vitals.on_train_batch_end

    def press(self: Vitals, trainer: Any, *rest: Any) -> None:
        counted(self, trainer, *rest)
        if trainer.global_step == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(Vitals, "on_train_batch_end", press)
    return train(*TINY, *LONGER, *places(home))


def test_in_the_first_epoch_the_last_state_is_kept(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = interrupted_after(3, workplace, monkeypatch)
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


def test_in_a_later_epoch_the_best_so_far_is_told(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = interrupted_after(7, workplace, monkeypatch)
    run = only_run(workplace)
    results = results_of(run)
    assert ended.code == 130
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 7
    assert torch.load(run / "best.ckpt", weights_only=True)["global_step"] == 5
    assert f"{results['val/accuracy']:.4f}" in ended.out
    assert results["epochs"] == 1
    assert not any(name.startswith("test/") for name in results)


def press_ctrl_c(*ignored: Any, **also_ignored: Any) -> None:
    """Stands in for whatever is running."""
    raise KeyboardInterrupt


def test_during_the_test_training_is_not_lost(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[bytes] = []

    def press(*ignored: Any) -> None:
        (last,) = workplace.rglob("last.ckpt")
        before.append(last.read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(ClassificationTask, "test_step", press)
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
    monkeypatch.setattr(training, "build_data", press_ctrl_c)
    ended = train(*TINY, *places(workplace))
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "sluice: interrupted")
    assert not list((workplace / "output").glob("imdb/*"))


def test_in_a_sweep_the_other_runs_do_not_start(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vitals, "on_train_batch_end", press_ctrl_c)
    ended = train("-m", *TINY, "seed=1,2", *places(workplace))
    assert ended.code == 130
    assert results_of(only_run(workplace))["seed"] == 1
