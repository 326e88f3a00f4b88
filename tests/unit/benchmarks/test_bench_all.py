"""sluice bench all: which times are divided by which, and the baselines in plain torch."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from sluice.benchmarks import all as table
from sluice.benchmarks.baselines import AttentionTranslator, TiedLanguageModel, WordLanguageModel
from sluice.benchmarks.seq2seq import Pairs
from sluice.recurrent import CELLS

BASELINES = {"word_language_model": 6.0, "plain torch": 4.0, "dense": 3.0, "packed": 30.0}


def seconds_of(steps: dict[Any, Callable[[], None]], runs: int, device: torch.device) -> dict[Any, float]:
    """As if each baseline had taken the seconds above, nn.LSTM five, and each variant of Sluice two."""
    return {name: 5.0 if name == ("nn.LSTM", "default") else BASELINES.get(name, 2.0) for name in steps}


def test_speedups_are_baseline_over_sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(table, "median_seconds", seconds_of)
    table.bench_all(runs=1, packed=True, device="cpu", as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    speedups = {(row["work"], row["baseline"]): row["speedup"] for row in rows}
    assert speedups["language model, adaptive softmax", "word_language_model"] == 3
    assert speedups["language model, full softmax", "plain torch"] == 2
    assert speedups["translation, input feeding, additive attention", "plain torch"] == 2
    assert speedups["gru, different lengths", "GRU, packed"] == 15
    assert {row["work"] for row in rows if row["baseline"] == "nn.LSTM"} == set(CELLS)
    assert {row["speedup"] for row in rows if row["baseline"] == "nn.LSTM"} == {2.5}


def test_language_model_baselines_reduce_their_loss() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randint(20, (2, 7, 3))
    tied = TiedLanguageModel(20, 8, 1)
    before = tied.loss(inputs, targets)
    for _ in range(20):
        tied.step(inputs, targets)
    assert tied.loss(inputs, targets) < before
    example = WordLanguageModel(20, 8, 2).eval()  # without dropout

    def loss() -> float:
        outputs, _ = example.rnn(example.encoder(inputs))
        return F.cross_entropy(example.decoder(outputs).flatten(0, 1), targets.flatten()).item()

    untrained = loss()
    for _ in range(100):
        example.step(inputs, targets)
    assert loss() < untrained


def test_translation_baseline_ignores_padding_and_learns() -> None:
    torch.manual_seed(0)
    translator = AttentionTranslator(12, 10, 6, 8)
    source, lengths, inputs = torch.randint(12, (2, 5)), torch.tensor([5, 3]), torch.randint(10, (2, 4))
    together = translator.features(source, lengths, inputs)
    alone = translator.features(source[1:, :3], lengths[1:], inputs[1:])
    torch.testing.assert_close(together[1:], alone)
    pairs = Pairs(source, lengths, torch.tensor([[1, 4, 5, 6, 2], [1, 7, 2, 0, 0]]), torch.tensor([4, 2]))

    def nll() -> float:
        logits = translator.output(translator.features(source, lengths, pairs.target[:, :-1]))
        return F.cross_entropy(logits.flatten(0, 1), pairs.target[:, 1:].flatten(), ignore_index=0).item()

    before = nll()
    for _ in range(100):
        translator.step(*pairs)
    assert nll() < before
