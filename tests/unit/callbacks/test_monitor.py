"""Training output: throughput, progress lines and bar, misclassified texts."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sluice.callbacks import progress, training_monitor
from sluice.callbacks.misclassified import Misclassified
from sluice.callbacks.progress import ProgressBar, ProgressLines, make_progress
from sluice.callbacks.training_monitor import PairThroughput, TrainingMonitor, gradient_norm
from sluice.callbacks.training_state import STORED_AS
from sluice.data.collate import TextBatch


class Clock:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A LightningModule stub that records logged values."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, float]] = []

    def log(self, name: str, value: Any, **options: Any) -> None:
        self.logged.append((name, float(value)))


def batch_of(*lengths: int) -> TextBatch:
    """Padded to the longest."""
    ids = torch.ones(len(lengths), max(lengths), dtype=torch.int64)
    return TextBatch(ids, torch.tensor(lengths), torch.zeros(len(lengths)), torch.arange(len(lengths)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clocks of the callbacks."""
    clock = Clock()
    monkeypatch.setattr(training_monitor.time, "perf_counter", clock)
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


@pytest.mark.parametrize("ranks", [1, 3])
def test_throughput_excludes_padding_and_covers_all_ranks(clock: Clock, ranks: int) -> None:
    watch, module, trainer = TrainingMonitor(), Recorder(), SimpleNamespace(world_size=ranks, log_every_n_steps=2)
    watch.on_train_epoch_start(trainer, module)  # type: ignore[arg-type]
    for step, lengths in enumerate([(3, 5), (1, 1), (4,)], start=1):
        clock.now += 2
        trainer.global_step = step
        watch.on_train_batch_end(trainer, module, None, batch_of(*lengths), step - 1)  # type: ignore[arg-type]
    assert module.logged == [("train/tokens_per_second", 10 * ranks / 4)]
    watch.on_train_end(trainer, module)  # type: ignore[arg-type]
    assert watch.count == 14 * ranks
    assert watch.per_second == 14 * ranks / 6


def test_throughput_excludes_validation_time(clock: Clock) -> None:
    watch, module = TrainingMonitor(), Recorder()
    trainer: Any = SimpleNamespace(world_size=1, log_every_n_steps=1, global_step=1)
    watch.on_train_epoch_start(trainer, module)  # type: ignore[arg-type]
    for _ in range(2):
        clock.now += 5
        watch.on_train_batch_end(trainer, module, None, batch_of(10), 0)  # type: ignore[arg-type]
        clock.now += 60
        watch.on_validation_end(trainer, module)  # type: ignore[arg-type]
    assert watch.per_second == 2


def test_gradient_norm_covers_all_parameters() -> None:
    module = nn.Linear(2, 2)
    module.weight.grad, module.bias.grad = torch.tensor([[1.0, 2], [0, 4]]), torch.tensor([2.0, 0])
    assert gradient_norm(module).item() == 5


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The lines logged by ProgressLines."""
    logger = logging.Logger("apart", logging.INFO)
    logger.addHandler(caplog.handler)
    monkeypatch.setattr(progress, "log", logger)
    return caplog


def fake_trainer(**metrics: float) -> Any:
    figures = {name.replace("_", "/", 1): torch.tensor(value) for name, value in metrics.items()}
    shape = {"is_global_zero": True, "current_epoch": 1, "max_epochs": 4, "num_training_batches": 300}
    return SimpleNamespace(callback_metrics=figures, **shape)


def test_epoch_logs_one_line_with_its_metrics(lines: pytest.LogCaptureFixture) -> None:
    trainer = fake_trainer(train_loss=0.25, train_accuracy=0.875, train_tokens_per_second=59515.6, val_accuracy=0.75)
    ProgressLines().on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert lines.messages == ["epoch 2/4, done: loss 0.25, acc 0.875, tokens/s 59,516, val acc 0.75"]


def test_one_line_per_minute_within_an_epoch(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    shown, trainer = ProgressLines(), fake_trainer(train_loss=0.5)
    shown.on_train_start(trainer, None)  # type: ignore[arg-type]
    for number in range(130):
        clock.now += 1
        shown.on_train_batch_end(trainer, None, None, None, number)  # type: ignore[arg-type]
    expected = [f"epoch 2/4, batch {number}/300: loss 0.5" for number in (61, 122)]
    assert lines.messages == expected


def test_only_rank_zero_logs(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    trainer = fake_trainer(train_loss=0.5)
    trainer.is_global_zero = False
    clock.now += 1000
    ProgressLines().on_train_batch_end(trainer, None, None, None, 0)  # type: ignore[arg-type]
    ProgressLines().on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert lines.messages == []


@pytest.mark.parametrize(("terminal", "kind"), [(True, ProgressBar), (False, ProgressLines)])
def test_terminal_gets_a_bar_and_log_file_gets_lines(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: type
) -> None:
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: terminal))
    assert type(make_progress()) is kind


def test_bar_shortens_names_and_formats_values() -> None:
    metrics = {"train/loss": 0.123456, "train/tokens_per_second": 59515.6, "val/accuracy": 0.75, "train/padding": 0.5}
    shown = ProgressBar().get_metrics(SimpleNamespace(callback_metrics=metrics), None)  # type: ignore[arg-type]
    assert shown == {"loss": "0.1235", "tokens/s": "59,516", "val acc": "0.75"}


def test_bar_reads_metrics_twice_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("sluice.callbacks.progress.time.monotonic", lambda: now)
    bar, shown = ProgressBar(), []
    for step in range(11):
        trainer: Any = SimpleNamespace(callback_metrics={"train/loss": float(step)})
        shown.append(bar.get_metrics(trainer, None)["loss"])  # type: ignore[arg-type]
        now += 0.125
    assert shown == ["0"] * 4 + ["4"] * 4 + ["8"] * 3


def test_misclassified_texts_are_sorted_by_probability() -> None:
    watch = Misclassified(labels=("neg", "pos"), text_of=lambda index: f"text <{index}>", count=2)
    of_pos = torch.tensor([0.9, 0.3, 0.2, 0.6])
    labels = torch.tensor([0, 0, 1, 1])
    page = watch._page(torch.stack([1 - of_pos, of_pos], 1), labels, torch.tensor([10, 11, 12, 13]))
    first, second = page.splitlines()
    assert all(part in first for part in ("neg", "pos", "0.900", "text &lt;10>"))
    assert all(part in second for part in ("neg", "pos", "0.800", "text &lt;12>"))


def test_checkpoint_keys_of_earlier_versions_are_unchanged() -> None:
    assert TrainingMonitor().state_key == "Vitals"
    assert PairThroughput().state_key == "PairSpeed"
    assert STORED_AS == "moment"
