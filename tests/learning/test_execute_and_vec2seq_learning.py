"""Models trained from the command line execute programs, memorise a book and write sentences for a label."""

from pathlib import Path

import pytest

from running import json_lines, sluice, trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("workdir")]


def test_shortest_programs_are_executed(workdir: Path) -> None:
    sizes = ("task.data.size=30000", "task.data.val_size=100", "task.data.test_size=1000")
    how = ("task.max_epochs=4", "task.learning_rate=4e-3", "model.hidden_size=64", "task.decoder.hidden_size=128")
    run = trained(workdir, "task=execute", "task.data.length=1", *sizes, *how)
    (shown,) = json_lines(sluice("evaluate", run.folder, "--split", "train", "--json"))
    assert shown["exact"] > 0.85
    assert run.results["test/exact"] > 0.35


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
def test_book_is_memorised(workdir: Path, model: str) -> None:
    sentences = [f"On day {day} they saw {3 * day} ships and {day * day % 7} whales." for day in range(30)]
    (workdir / "book.txt").write_text(" ".join(sentences), encoding="utf-8")
    book = (f"task.data.path={workdir / 'book.txt'}", "task.data.batch_size=10", "task.max_epochs=60")
    run = trained(workdir, "task=vec2seq", f"model={model}", *book)
    assert run.results["test/exact"] == 1
    assert sluice("translate", run.folder, "17").out.strip() == sentences[17]


def test_generated_sentences_match_their_label(workdir: Path) -> None:
    short = ("task.data.max_length=40", "task.decoding.max_length_offset=40", "task.data.test_size=300")
    run = trained(
        workdir, "task=vec2seq", "task.data.val_size=100", "task.max_epochs=12", "task.learning_rate=4e-3", *short
    )
    assert run.results["test/speaks_for_label"] > 0.65, "0.5 if the label is ignored"
