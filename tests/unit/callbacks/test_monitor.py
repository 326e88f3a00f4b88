"""Training output: throughput, progress lines and bar, misclassified texts."""

import logging
import re
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping
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
    shape = {
        "sanity_checking": False,
        "is_global_zero": True,
        "current_epoch": 1,
        "max_epochs": 4,
        "num_training_batches": 300,
    }
    return SimpleNamespace(callback_metrics=figures, **shape)


def test_epoch_logs_one_line_with_its_metrics(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    shown, trainer = ProgressLines("val/f1"), fake_trainer(train_loss=0.25, val_loss=0.5, val_f1=0.75, val_accuracy=3)
    shown.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    clock.now += 12
    shown.on_validation_end(trainer, None)  # type: ignore[arg-type]
    shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    other = ProgressLines("val/loss")
    other.on_validation_end(trainer, None)  # type: ignore[arg-type]
    other.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    trainer.max_epochs = -1
    shown.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    first, second, third = lines.messages
    assert first == "epoch 2/4 (12 s): loss 0.25; val: f1 0.75, loss 0.5"
    assert second.endswith("loss 0.25; val: loss 0.5, accuracy 3")
    assert third == "epoch 2 (0.0 s): loss 0.25", "without validation"


def test_resumed_epoch_is_timed_from_the_resumption(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    shown, trainer = ProgressLines("val/loss"), fake_trainer(train_loss=0.25)
    shown.on_train_start(trainer, None)  # type: ignore[arg-type]
    clock.now += 12
    shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert lines.messages == ["epoch 2/4 (12 s): loss 0.25"]


@pytest.mark.parametrize("has_bar", [True, False])
def test_one_line_per_minute_within_an_epoch(clock: Clock, lines: pytest.LogCaptureFixture, has_bar: bool) -> None:
    shown = ProgressLines("val/loss", has_bar=has_bar)
    trainer = fake_trainer(train_loss=0.5, train_tokens_per_second=59515.6)
    shown.on_train_start(trainer, None)  # type: ignore[arg-type]
    for number in range(130):
        clock.now += 1
        shown.on_train_batch_end(trainer, None, None, None, number)  # type: ignore[arg-type]
    expected = [f"epoch 2/4, batch {number}/300: loss 0.5, 59,516 tokens/s" for number in (61, 122)]
    assert lines.messages == expected
    assert [hasattr(record, "file_only") for record in lines.records] == [has_bar, has_bar]


def test_only_rank_zero_logs(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    trainer, shown = fake_trainer(train_loss=0.5), ProgressLines("val/loss")
    trainer.is_global_zero, trainer.callbacks, trainer.should_stop = False, [stopped("val/loss", 3)], True
    clock.now += 1000
    shown.on_train_batch_end(trainer, None, None, None, 0)  # type: ignore[arg-type]
    shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    shown.on_train_end(trainer, None)  # type: ignore[arg-type]
    assert lines.messages == []


def test_resumed_epoch_is_timed_and_has_a_bar(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    """Lightning doesn't call on_train_epoch_start for an epoch that is resumed after some batches."""
    trainer, shown = fake_trainer(train_loss=0.5), ProgressLines("val/loss")
    with redirect_stdout(Terminal()):
        bar = ProgressBar("val/loss")
        for callback in (shown, bar):
            callback.on_train_start(trainer, None)  # type: ignore[arg-type]
        clock.now += 7
        bar.on_train_batch_end(trainer, None, None, None, 4)  # type: ignore[arg-type]
        assert bar._progress is not None
        assert bar._progress.tasks[0].completed == 5
        bar.on_train_end(trainer, None)  # type: ignore[arg-type]
    shown.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert lines.messages == ["epoch 2/4 (7.0 s): loss 0.5"]


def stopped(monitor: str, count: int, message: str | None = None, epoch: int = 6, patience: int = 3) -> EarlyStopping:
    callback = EarlyStopping(monitor, patience=patience)
    callback.wait_count, callback.stopped_epoch, callback.best_score = count, epoch, torch.tensor(0.5)
    callback.stopping_reason_message = message
    return callback


def test_early_stopping_is_reported(lines: pytest.LogCaptureFixture) -> None:
    running = EarlyStopping("val/loss")
    threshold = stopped("val/f1", 0, "Stopping threshold reached: val/f1 = 1 > 0.9. Signaling Trainer to stop.")
    first = stopped("val/f1", 0, "Stopping threshold reached: val/f1 = 1 > 0.8.", epoch=0, patience=0)
    trainer = SimpleNamespace(
        is_global_zero=True, should_stop=True, callbacks=[stopped("val/loss", 3), running, threshold, first]
    )
    ProgressLines("val/loss").on_train_end(trainer, None)  # type: ignore[arg-type]
    assert lines.messages == [
        "Stopped early after epoch 7: val/loss has not improved in the last 3 validations (best: 0.5).",
        "Stopped early after epoch 7: Stopping threshold reached: val/f1 = 1 > 0.9.",
        "Stopped early after epoch 1: Stopping threshold reached: val/f1 = 1 > 0.8.",
    ]


@pytest.mark.parametrize(
    ("terminal", "shows_bar", "rank"), [(True, True, 0), (False, True, 0), (True, False, 0), (True, True, 1)]
)
def test_bar_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch, terminal: bool, shows_bar: bool, rank: int) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: terminal))
    lines, *bars = make_progress("val/loss", shows_bar=shows_bar)
    assert isinstance(lines, ProgressLines)
    assert [type(bar) for bar in bars] == [ProgressBar] * (terminal and shows_bar and rank == 0)


class Terminal(StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


def test_bar_fits_80_columns_and_counts_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    trainer = fake_trainer(train_loss=0.123456, **{"val_bleu_lowercase": 23.4567})
    trainer.current_epoch, trainer.max_epochs, trainer.num_training_batches = 0, 1000, 123_456
    trainer.num_val_batches, trainer.sanity_checking = [7], False
    with redirect_stdout(Terminal()) as screen:
        bar: Any = ProgressBar("val/bleu_lowercase")
        for hook in ("on_train_epoch_start", "on_validation_start", "on_validation_end"):
            getattr(bar, hook)(trainer, None)
            bar._progress.refresh()
        bar.on_train_end(trainer, None)
    shown = [re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]", screen.getvalue())]
    assert max(map(len, shown)) <= 80
    assert any(re.match(r"epoch 1/1000 \S+ +0/123456 .* val bleu_lowercase 23.46", line) for line in shown)
    assert any(line.startswith("epoch 1/1000 validation ") for line in shown)


def test_bar_reads_metrics_twice_per_second(clock: Clock) -> None:
    with redirect_stdout(Terminal()):
        bar, shown = ProgressBar("val/loss"), list[str]()
        bar.on_train_epoch_start(fake_trainer(), None)  # type: ignore[arg-type]
        for step in range(11):
            bar.on_train_batch_end(fake_trainer(train_loss=float(step)), None, None, None, step)  # type: ignore[arg-type]
            assert bar._progress is not None
            shown.append(bar._progress.tasks[0].fields["figures"])
            clock.now += 0.125
        bar.on_train_end(fake_trainer(), None)  # type: ignore[arg-type]
    assert shown == ["loss 0"] * 4 + ["loss 4"] * 4 + ["loss 8"] * 3


def test_most_wrong_lists_only_wrong_answers_by_probability() -> None:
    watch = Misclassified(labels=("neg", "pos"), text_of=lambda index: f"text <{index}>", count=9)
    of_pos = torch.tensor([0.6, 0.9, 0.3, 0.2, 0.6])
    labels = torch.tensor([0, 0, 0, 1, 1])

    def page(rows: slice) -> str:
        answers = torch.stack([1 - of_pos, of_pos], 1)[rows]
        return watch._page(answers, labels[rows], torch.tensor([9, 10, 11, 12, 13])[rows])

    wrong = [("neg", "pos", "0.900", "text &lt;10>"), ("pos", "neg", "0.800", "text &lt;12>"), ("0.600", "&lt;9>")]
    lines = page(slice(0, 5)).splitlines()
    assert len(lines) == len(wrong)
    assert all(part in line for line, parts in zip(lines, wrong, strict=True) for part in parts)
    assert page(slice(4, 5)) == "All 1 validation texts are classified correctly."


def test_checkpoint_keys_of_earlier_versions_are_unchanged() -> None:
    assert TrainingMonitor().state_key == "Vitals"
    assert PairThroughput().state_key == "PairSpeed"
    assert STORED_AS == "moment"
