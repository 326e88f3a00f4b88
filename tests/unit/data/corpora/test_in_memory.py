"""Corpora of Python iterables: splits, labels, fingerprints, and refused rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.data import ClassificationData, LabelledTexts, LanguageData, SentencePairs, TextLines
from sluice.errors import UserError

ROWS = [
    (f"text {number} is {word}", label) for number in range(20) for word, label in (("good", "pos"), ("bad", "neg"))
]


def test_labelled_texts_of_a_generator_are_held_out(tmp_path: Path) -> None:
    data = ClassificationData(corpus=LabelledTexts(row for row in ROWS), cache_dir=tmp_path)
    assert data.prepared.labels == ("neg", "pos")
    assert {name: len(split.labels) for name, split in data.prepared.splits.items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    given = ClassificationData(corpus=LabelledTexts(ROWS, val=ROWS[:2], test=ROWS[:6]), cache_dir=tmp_path)
    assert [len(given.prepared.splits[name].labels) for name in ("train", "val", "test")] == [40, 2, 6]


def test_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    same, other = LabelledTexts(list(ROWS)), LabelledTexts([*ROWS[:-1], ("another", "neg")])
    assert LabelledTexts(ROWS).sources == same.sources
    assert LabelledTexts(ROWS).sources != other.sources
    assert LabelledTexts(ROWS[:4], val=ROWS[:2]).sources != LabelledTexts(ROWS[:4], test=ROWS[:2]).sources
    identities = [ClassificationData(corpus=corpus, cache_dir=tmp_path).identity for corpus in (same, other)]
    assert identities[0].fingerprint != identities[1].fingerprint


def test_last_lines_are_held_out(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield from (f"line number {number}" for number in range(30))

    corpus = TextLines(lines(), validation_fraction=0.2, test_fraction=0.1)
    splits = [line.split for line in corpus.lines()]
    assert splits == ["train"] * 21 + ["val"] * 6 + ["test"] * 3
    assert [line.text for line in corpus.lines()] == list(lines())
    given = TextLines(["a b", "c"], val=["d"], test=["e", "f"])
    assert [(line.split, line.text) for line in given.lines()][2:] == [("val", "d"), ("test", "e"), ("test", "f")]
    data = LanguageData(corpus=corpus, cache_dir=tmp_path, batch_size=2, chunk_length=4)
    assert len(data.prepared.splits["train"]) == 84


def test_sentence_pairs_keep_their_order_and_languages() -> None:
    corpus = SentencePairs([("ein", "a")], test=[("zwei", "two")], source_language="de")
    assert [tuple(pair) for pair in corpus.pairs()] == [("train", "ein", "a"), ("test", "zwei", "two")]
    assert (corpus.source_language, corpus.target_language) == ("de", "")
    assert corpus.description == "sentence pairs in memory (1 train, 1 test)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelledTexts([]), "there are no training labelled texts"),
        (lambda: LabelledTexts([("a", "x")]), "all training texts have the label 'x': give at least two"),
        (lambda: LabelledTexts(ROWS, val=[("a", "x")]), "the label 'x' of the val split has no training text"),
        (lambda: LabelledTexts([("a", 1), ("b", 0)]), r"labelled texts must be strings, got \('a', 1\)"),
        (lambda: LabelledTexts(["ab"]), "labelled texts must be strings, got 'ab'"),
        (lambda: LabelledTexts([("a", "b", "c")]), "expected a text and a label in each row of the train split"),
        (lambda: SentencePairs([("a",)]), "expected a sentence and its translation in each row"),
        (lambda: SentencePairs([]), "there are no training sentence pairs"),
        (lambda: TextLines([]), "there are no training lines"),
        (lambda: TextLines(["a", "b"]), "there are no training lines"),
        (lambda: TextLines([1, 2, 3]), r"lines must be strings, got \(3,\)|got \(1,\)"),
        (lambda: TextLines("the sea"), "expected lines, got the single string 'the sea': split it"),
        (lambda: TextLines(["a"], val="b", test=["c"]), "expected lines, got the single string 'b'"),
        (lambda: TextLines(["a \udcff", "b", "c"]), r"'\\udcff' in a text of the train split is a lone surrogate"),
        (lambda: SentencePairs([("a", "b")], val=[("c", "d\ud83d")]), r"'\\ud83d' in a text of the val split"),
        (lambda: LabelledTexts(ROWS, val=[]), "the val split has no labelled texts: give at least one, or None"),
    ],
)
def test_wrong_rows_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
