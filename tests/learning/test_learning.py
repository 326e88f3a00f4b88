"""The generated sample is learned to the end by a recurrent model, through the command line."""

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
def test_an_lstm_learns_the_sample_on_which_a_bag_of_words_guesses(workplace: Path) -> None:
    """The bag of words is measured beside the generator, in test_sample_reviews.py: below 0.65."""
    ended = train(*SETTINGS)
    assert ended.code == 0, ended.err
    assert results_of(only_run(workplace / "outputs"))["test/accuracy"] > 0.95
