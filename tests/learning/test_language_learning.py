"""A text of one repeated sentence is learned to the end, by words and by letters, through the command line."""

from pathlib import Path

import pytest

from running import json_lines, only_run, results_of, sluice, train

SENTENCE = "The old owl in the tree saw the cat that saw the dog."
"""After "the" come four different words: what is next hangs on more than the word before."""
SETTINGS = (
    *("task=corpus", "task.data.path=book.txt", "trainer.accelerator=cpu", "task.recurrent.num_layers=1"),
    *("embedding.size=32", "task.data.batch_size=4", "task.data.chunk_length=20", "task.sample_tokens=0"),
    *("task.recurrent.hidden_size=32", "optimizer.lr=3e-2", "task.data.val_streams=1"),
)


@pytest.mark.parametrize(
    ("unit", "lines", "epochs", "options"),
    [
        pytest.param("words", 200, 6, ("task.head=full",), id="words"),
        pytest.param("words", 200, 6, ("task.head=adaptive", "task.cutoffs=[5,9]"), id="words, adaptive head"),
        pytest.param("chars", 100, 6, (), id="letters", marks=pytest.mark.slow),
    ],
)
def test_one_repeated_sentence_is_learned(
    workplace: Path, unit: str, lines: int, epochs: int, options: tuple[str, ...]
) -> None:
    (workplace / "book.txt").write_text(f"{SENTENCE}\n" * lines, encoding="utf-8")
    ended = train("model=lstm", *SETTINGS, f"task.max_epochs={epochs}", f"task.text.unit={unit}", *options)
    assert ended.code == 0, ended.err
    run = only_run(workplace / "outputs")
    results = results_of(run)
    assert results["val/perplexity"] <= 1.05
    assert results["test/perplexity"] <= 1.05
    tokens = 12 if unit == "words" else len(SENTENCE) - len("The old")
    asked = ("--prompt", "The old", "--tokens", str(tokens), "--top-k", "1", "--json")
    (written,) = json_lines(sluice("generate", run, *asked))
    assert written["text"] == SENTENCE
