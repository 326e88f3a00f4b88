"""An LSTM trained from the command line learns the generated sample reviews."""

from pathlib import Path

import pytest

from running import only_run, results_of, train

SETTINGS = (
    "model=lstm",
    "task=imdb",
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
)


@pytest.mark.slow
def test_lstm_learns_the_sample_reviews(workdir: Path) -> None:
    """A bag of words stays below 0.65 on these reviews, see test_sample_reviews.py."""
    ended = train(*SETTINGS)
    assert ended.code == 0, ended.err
    assert results_of(only_run(workdir / "outputs"))["test/accuracy"] > 0.95
