"""The generated sample is learned to the end by a recurrent model, through the command line."""

import json
import sys
from pathlib import Path

import pytest

from sluice.cli.train import main

CONF = Path(__file__).parents[2] / "conf"
SETTINGS = (
    "task.data.source=sample",
    "task.data.sample_size=2000",
    "task.data.batch_size=32",
    "task.max_epochs=12",
    "task.recurrent.hidden_size=64",
    "task.output_dropout=0.2",
    "embedding.size=32",
    "embedding.word_dropout=0.1",
    "optimizer.lr=5e-3",
    "trainer.accelerator=cpu",
    "name=learning",
)


def test_an_lstm_learns_the_sample_on_which_a_bag_of_words_guesses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The bag of words is measured beside the generator, in test_sample_reviews.py: below 0.65."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "model=lstm", "task=imdb", *SETTINGS])
    main(CONF)
    results = json.loads((tmp_path / "outputs/imdb/lstm/sample-learning/results.json").read_text())
    assert results["test/accuracy"] > 0.95
