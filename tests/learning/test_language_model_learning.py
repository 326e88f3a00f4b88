"""Word and character language models memorise a repeated sentence."""

from pathlib import Path

import pytest

from running import json_lines, only_run, results_of, sluice, train

SENTENCE = "The old owl in the tree saw the cat that saw the dog."
"""Four different words follow "the", so the next word depends on more than the previous one."""
SETTINGS = (
    *("task=corpus", "task.data.path=book.txt", "trainer.accelerator=cpu", "task.recurrent.num_layers=1"),
    *("embedding.size=32", "task.data.batch_size=4", "task.data.chunk_length=20", "task.sample_tokens=0"),
    *("task.recurrent.hidden_size=32", "optimizer.lr=3e-2", "task.data.val_streams=1"),
)


@pytest.mark.parametrize(
    ("unit", "lines", "epochs", "options"),
    [
        pytest.param("words", 200, 6, ("task.head=full",), id="words"),
        pytest.param(
            "words",
            200,
            6,
            ("task.head=adaptive", "task.cutoffs=[5,9]"),
            id="words, adaptive head",
            marks=pytest.mark.slow,
        ),
        pytest.param("chars", 100, 6, (), id="chars", marks=pytest.mark.slow),
    ],
)
def test_repeated_sentence_is_memorised(
    workdir: Path, unit: str, lines: int, epochs: int, options: tuple[str, ...]
) -> None:
    (workdir / "book.txt").write_text(f"{SENTENCE}\n" * lines, encoding="utf-8")
    ended = train("model=lstm", *SETTINGS, f"task.max_epochs={epochs}", f"task.text.unit={unit}", *options)
    assert ended.code == 0, ended.err
    run = only_run(workdir / "outputs")
    results = results_of(run)
    assert results["val/perplexity"] <= 1.05
    assert results["test/perplexity"] <= 1.05
    tokens = 12 if unit == "words" else len(SENTENCE) - len("The old")
    asked = ("--prompt", "The old", "--tokens", str(tokens), "--top-k", "1", "--json")
    (written,) = json_lines(sluice("generate", run, *asked))
    assert written["text"] == SENTENCE
