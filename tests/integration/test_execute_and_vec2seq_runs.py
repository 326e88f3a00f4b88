"""task=execute and task=vec2seq are trained, evaluated and used from the command line."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from run_differences import differences
from running import Finished, error_of, json_lines, paths_in, sluice, train, trained
from sluice.recipes.load import load_model
from sluice.recipes.registry import recipe_of
from stopping import stop_signal, stopped

SMALL = (
    *("trainer.accelerator=cpu", "model.hidden_size=8", "embedding.size=8", "task.decoder.hidden_size=16"),
    *("trainer.log_every_n_steps=1", "task.data.batch_size=16"),
)
PROGRAMS = (
    *("task=execute", "task.data.length=2", "task.data.nesting=2", "task.data.curriculum=naive", *SMALL),
    *("task.data.size=40", "task.data.val_size=20", "task.data.test_size=30", "trainer.max_epochs=4"),
    *("task.data.curriculum_fraction=0.99", "task.attention=none"),
)
LABELS = (
    *("task=vec2seq", *SMALL, "task.data.size=64", "task.data.val_size=10", "task.data.test_size=20"),
    *("trainer.max_epochs=1", "task.data.max_length=12"),
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run with four curriculum stages in four epochs; read-only."""
    return trained(tmp_path_factory.mktemp("executed"), *PROGRAMS)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run on a book of five sentences; read-only."""
    home = tmp_path_factory.mktemp("book")
    (home / "book.txt").write_text("It rained. Nobody came.\n\nAt last, a knock! Who? Nobody.", encoding="utf-8")
    return trained(home, "task=vec2seq", f"task.data.path={home / 'book.txt'}", *SMALL, "trainer.max_epochs=2")


def data_of(run: Path) -> tuple[Any, Any]:
    """The model and the DataModule of a run."""
    model = load_model(run)
    recipe: Any = recipe_of(model.config)
    return model, recipe.build_data(model.config, recipe.find_corpus(model.config))


def rows_of(run: Path) -> list[list[str]]:
    lines = (run / "translations.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]


def test_digit_accuracy_uses_teacher_forcing(executed: Finished) -> None:
    model, data = data_of(executed.folder)
    right = total = 0
    for batch in data.test_dataloader():
        for row in range(len(batch)):
            length, steps = int(batch.source_lengths[row]), int(batch.target_lengths[row])
            target = batch.target[row : row + 1, : steps + 1]
            source, lengths = batch.source[row : row + 1, :length], torch.tensor([length])
            made = model.network(source, lengths, target[:, :-1], torch.tensor([steps]))
            guesses = model.network.log_probabilities(made.features)[0].argmax(-1)
            right += int((guesses == target[0, 1:])[:-1].sum())
            total += steps - 1
    assert executed.results["test/digit_accuracy"] == pytest.approx(right / total)
    assert total == sum(len(reference) for _, reference, _ in rows_of(executed.folder))


def test_translations_table_matches_exact_accuracy(executed: Finished) -> None:
    rows = rows_of(executed.folder)
    assert len(rows) == 30
    assert executed.results["test/exact"] == sum(wanted == written for _, wanted, written in rows) / 30
    assert any("\\n" in source for source, *_ in rows)
    assert not any("bleu" in name for name in executed.results)
    assert not (executed.folder / "scores.json").exists()


def test_translate_accepts_single_line_programs(executed: Finished) -> None:
    checkpoint = executed.folder / "best.ckpt"
    rows = rows_of(executed.folder)[:6]
    lines = json_lines(sluice("translate", checkpoint, *(row[0] for row in rows), "--beam", "1", "--json"))
    assert [line["translations"][0]["text"] for line in lines] == [row[2] for row in rows]


@pytest.mark.parametrize("run", ["executed", "book"])
def test_evaluate_reproduces_test_metrics(run: str, request: pytest.FixtureRequest) -> None:
    done: Finished = request.getfixturevalue(run)
    (line,) = json_lines(sluice("evaluate", done.folder, "--json"))
    names = [name.removeprefix("test/") for name in done.results if name.startswith("test/")]
    assert {"exact", "accuracy", "loss"} <= set(names)
    assert [line[name] for name in names] == pytest.approx([done.results[f"test/{name}"] for name in names], rel=1e-5)


def test_resume_within_a_curriculum_stage_is_exact(executed: Finished) -> None:
    with stopped(stop_signal, "on_train_batch_end", 5):
        assert train(*PROGRAMS, "name=stopped", *paths_in(executed.home)).code == 130
    folder = executed.folder.with_name("stopped")
    ended = train(*PROGRAMS, f"resume={folder}", *paths_in(executed.home))
    assert ended.code == 0, ended.err
    assert differences(folder, executed.folder) == []


def test_sentence_number_is_one_token(book: Finished) -> None:
    model, data = data_of(book.folder)
    assert model.parts["source"]["vocab"][4:] == list("01234")
    assert book.results["data_source"] == "file"
    assert [row[:2] for row in rows_of(book.folder)][2] == ["2", "At last, a knock!"]
    (line,) = json_lines(sluice("translate", book.folder, " 4 ", "--json"))
    assert set(line["translations"][0]["text"].split()) <= set(data.prepared.target.vocab.tokens)


@pytest.mark.parametrize("text", ["5", "-1", "1 2", "neg", "<unk>"])
def test_unknown_sentence_number_is_reported(book: Finished, text: str) -> None:
    error = error_of(sluice("translate", book.folder, "--", text))
    assert f"there is no sentence for {text!r}: choose from 0 to 4" in error


def test_dropped_sentence_is_reported(workdir: Path) -> None:
    (workdir / "long.txt").write_text("Rain. Snow fell on all the hills. Wind. Sun.", encoding="utf-8")
    path = f"task.data.path={workdir / 'long.txt'}"
    run = trained(workdir, "task=vec2seq", path, *SMALL, "trainer.max_epochs=1", "task.data.max_length=4")
    error = error_of(sluice("translate", run.folder, "1"))
    assert "there is no sentence for '1': it was too long for training (task.data.max_length)" in error
    assert sluice("translate", run.folder, "3").code == 0
    assert "there is no sentence for '4': choose from 0 to 3" in error_of(sluice("translate", run.folder, "4"))


@pytest.mark.slow
def test_sentences_are_sampled_for_a_label(workdir: Path) -> None:
    run = trained(workdir, *LABELS)
    assert re.search(r"Use it: sluice translate \S+ pos  # a label, or the number of a sentence\n", run.ended.out)
    assert 0 <= run.results["test/speaks_for_label"] <= 1
    assert "test/exact" not in run.results
    asked = ("translate", run.folder, *["pos"] * 4, "--seed")
    first = sluice(*asked, "1")
    assert first.code == 0, first.err
    assert len(set(first.out.splitlines())) > 1
    assert sluice(*asked, "1").out == first.out != sluice(*asked, "2").out
    assert "choose from neg, pos" in error_of(sluice("translate", run.folder, "good"))
    assert "--seed 1 cannot be combined with --beam 3" in error_of(sluice(*asked, "1", "--beam", "3"))


FEW = ("task.data.size=50", "task.data.val_size=10", "task.data.test_size=10")
WRONG = {
    "unknown curriculum": (
        ["task=execute", "task.data.curriculum=foo"],
        "must be one of baseline, naive, mix, combined",
    ),
    "zero length": (["task=execute", "task.data.length=0"], "task.data.length=0 cannot be used: it must be at least 1"),
    "zero nesting": (["task=execute", "task.data.nesting=0"], "it must be at least 1"),
    "zero size": (["task=execute", "task.data.size=0"], "it must be at least 1"),
    "curriculum fraction of one": (
        ["task=execute", "task.data.curriculum_fraction=1"],
        "it must be at least 0 and below 1",
    ),
    "unavailable metric": (["task=execute", *FEW, "task.monitor=val/bleu"], "val/exact, val/digit_accuracy"),
    "programs too long": (["task=execute", *FEW, "task.data.max_length=15"], "but curriculum stages need all of them"),
    "missing file": (["task=vec2seq", "task.data.path=nowhere.txt"], "task.data.path=nowhere.txt does not exist"),
    "empty file": (["task=vec2seq", "task.data.path=empty.txt"], "has no sentences"),
    "joint vocabulary": (["task=vec2seq", "task.text.joint=true"], "the vocabularies differ"),
}


@pytest.mark.parametrize(("settings", "expected"), WRONG.values(), ids=WRONG)
def test_invalid_settings_are_reported(workdir: Path, settings: list[str], expected: str) -> None:
    (workdir / "empty.txt").write_text(" \n\n")
    assert expected in error_of(train(*settings, *SMALL, *paths_in(workdir)))
