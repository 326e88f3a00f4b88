"""PairModule: the metric of deciding words."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from sluice.data.collate import TextPairBatch
from sluice.layers.char_ngrams import CharNgramEmbedding
from sluice.models.pair_classifier import PairClassifier
from sluice.modules.base import Monitor
from sluice.modules.pairs import PairModule
from sluice.recurrent import RecurrentStack

PAIRS = 9


def make_task(has_deciding_words: bool = True) -> PairModule:
    torch.manual_seed(1)
    network = PairClassifier(
        embedding=CharNgramEmbedding(buckets=20, size=4, initial_std=1.0),
        recurrent=RecurrentStack(cell="gru", input_size=4, hidden_size=3, bidirectional=True),
        num_classes=2,
        size=5,
    )
    monitor = Monitor("val/loss", "min")
    return PairModule(network=network, monitor=monitor, labels=("no", "yes"), has_deciding_words=has_deciding_words)


def batches(sizes: list[int], has_deciding_words: bool = True) -> list[TextPairBatch]:
    """Nine pairs of three words each, in batches of these sizes; every third pair has no deciding word."""
    draw = torch.Generator().manual_seed(2)
    words = torch.randint(20, (2, PAIRS, 3), generator=draw)
    marks = torch.zeros(2, PAIRS, 3, dtype=torch.bool)
    marks[:, ::3, 1] = marks[:, 1::3, :2] = True
    return [
        TextPairBatch(
            ngrams=torch.arange(20),
            offsets=torch.arange(21),
            word_index=words[:, index].flatten(0, 1),
            lengths=torch.full((2 * len(index),), 3),
            labels=index % 2,
            index=index,
            deciding=marks[:, index].flatten(0, 1) if has_deciding_words else None,
        )
        for index in torch.arange(PAIRS).split(sizes)
    ]


def compute_metrics(task: PairModule, given: list[TextPairBatch], stage: str) -> dict[str, float]:
    loader: Any = DataLoader(given, batch_size=None)  # type: ignore[arg-type]
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    (metrics,) = getattr(pl.Trainer(**quiet), stage)(task, loader, verbose=False)
    return {name.split("/")[1]: value for name, value in metrics.items()}


def expected_deciding_found(task: PairModule) -> float:
    (batch,) = batches([PAIRS])
    output = task.network.eval()(batch.ngrams, batch.offsets, batch.word_index, batch.lengths)
    assert batch.deciding is not None
    found, with_deciding = 0, 0
    for pair in range(PAIRS):
        contributions = output.contributions[[pair, PAIRS + pair]].flatten(0, 1)
        label = int(output.logits[pair].argmax())
        deciding = batch.deciding[[pair, PAIRS + pair]].flatten()
        with_deciding += int(deciding.any())
        found += int(deciding[(contributions[:, label] - contributions[:, 1 - label]).argmax()])
    return found / with_deciding


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("sizes", [[9], [4, 5], [1, 7, 1]], ids=str)
def test_deciding_found_is_computed_over_all_pairs(sizes: list[int], stage: str) -> None:
    task = make_task()
    metrics = compute_metrics(task, batches(sizes), stage)
    assert metrics["deciding_found"] == pytest.approx(expected_deciding_found(task))
    assert 0 < metrics["deciding_found"] < 1
    assert {"accuracy", "f1", "auroc", "loss"} < metrics.keys()


def test_deciding_found_is_omitted_without_annotations() -> None:
    task = make_task(has_deciding_words=False)
    metrics = compute_metrics(task, batches([9], has_deciding_words=False), "validate")
    assert {f"val/{name}" for name in metrics} == set(task.validation_metrics)
    assert "deciding_found" not in metrics
    assert set(make_task().validation_metrics) - set(task.validation_metrics) == {"val/deciding_found"}
