"""Sentences of labels and of a book, and generated pairs as a parallel corpus."""

import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprints import fingerprint
from sluice.data.corpus import SPLITS
from sluice.data.parallel import ParallelSettings, prepare_parallel
from sluice.data.synthetic.base import GeneratedPairs
from sluice.data.synthetic.execute import Execute, programs_as_pairs
from sluice.data.synthetic.reviews import BAD, GOOD
from sluice.data.synthetic.vec2seq import (
    BookSentences,
    LabelledSentence,
    LabelSentences,
    book_as_pairs,
    label_of,
    labels_as_pairs,
    split_sentences,
)
from sluice.errors import UserError

SIZES = {"size": 200, "val_size": 40, "test_size": 60}
ONE_SIDED = [f"In every way it was {word}." for word in (*GOOD, *BAD)]


def sentences(split: str, **options: int) -> list[LabelledSentence]:
    return list(LabelSentences(**{**SIZES, **options}).sentences(split))


def test_label_is_expressed_by_the_sentence() -> None:
    drawn = {text: label for split in SPLITS for label, text in sentences(split, size=8000)}
    known = [text for text in ONE_SIDED if text in drawn]
    assert len(known) > 20
    assert all(drawn[text] == (text.removeprefix("In every way it was ")[:-1] in GOOD) for text in known)


def test_label_of_finds_the_generated_label() -> None:
    assert {label for label, _ in sentences("train", size=2000)} == {0, 1}
    assert all(label_of(text) == label for label, text in sentences("train", size=2000))


@pytest.mark.parametrize("text", ["", "The film is grand.", "The film was witty and not witty.", "It is witty rather"])
def test_label_of_other_sentences_is_none(text: str) -> None:
    assert label_of(text) is None


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_splits_are_sized_disjoint_and_reproducible(seed: int) -> None:
    drawn = {split: sentences(split, seed=seed) for split in SPLITS}
    assert {split: len(own) for split, own in drawn.items()} == {"train": 200, "val": 40, "test": 60}
    texts = {split: {text for _, text in own} for split, own in drawn.items()}
    assert len(set.union(*texts.values())) == sum(map(len, texts.values()))
    assert drawn["val"] == sentences("val", seed=seed)
    assert drawn["val"] != sentences("val", seed=seed + 1)
    assert {label for label, _ in drawn["train"]} == {0, 1}


def test_book_is_split_into_sentences(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text('One morning\nit rained.  "Really?" she asked!\n\n\nCHAPTER 2\n\nNobody came. ', encoding="utf-8")
    expected = ["One morning it rained.", '"Really?"', "she asked!", "CHAPTER 2", "Nobody came."]
    assert [*BookSentences(path).sentences()] == [LabelledSentence(index, text) for index, text in enumerate(expected)]
    assert [text for _, text in BookSentences(path, limit=2).sentences()] == expected[:2]


@given(st.text(st.sampled_from("ab.!? \n\"'")))
def test_splitting_preserves_all_words(text: str) -> None:
    assert " ".join(split_sentences(text)).split() == text.split()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "has no sentences"), (b" \n\n", "has no sentences"), (b"a\xff", "is not UTF-8 at byte 1")],
)
def test_invalid_books_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "book.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        BookSentences(tmp_path / "book.txt")


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        BookSentences(Path("nowhere.txt"))
    with pytest.raises(UserError, match="limit=0"):
        BookSentences(Path("nowhere.txt"), limit=0)
    with pytest.raises(UserError, match="size=0"):
        LabelSentences(size=0)


PAIR_SIZES = {"size": 60, "val_size": 10, "test_size": 20}
CHARACTERS = ParallelSettings(unit="chars", min_freq=1, max_length=1000, max_ratio=1000)


def executed(**options: object) -> Execute:
    return Execute(**{"length": 2, "nesting": 2, "curriculum": "naive", **PAIR_SIZES, **options})  # type: ignore[arg-type]


def programs(**options: object) -> GeneratedPairs:
    return programs_as_pairs(executed(**options))


def test_programs_are_encoded_as_characters(tmp_path: Path) -> None:
    prepared = prepare_parallel(programs(), CHARACTERS, tmp_path)
    assert prepared.notes == []
    assert {name: len(split) for name, split in prepared.splits.items()} == {"train": 240, "val": 10, "test": 20}
    own = [(pair.source, pair.target) for pair in programs().pairs() if pair.split == "train"]
    split = prepared.splits["train"]
    assert [(split.source_lines[row], split.target_lines[row]) for row in range(240)] == own
    assert split.source.lengths.tolist() == [len(code) + 1 for code, _ in own]
    assert split.target.lengths.tolist() == [len(result) + 2 for _, result in own]
    assert np.unique(split.target.flat).size <= 13


def test_training_has_all_stages_in_order() -> None:
    stages = [list(executed().programs("train", stage)) for stage in range(4)]
    train = [(pair.source, pair.target) for pair in programs().pairs() if pair.split == "train"]
    assert train == list(chain.from_iterable(stages))


def test_fingerprint_depends_on_all_settings() -> None:
    variants = [
        programs(),
        programs(seed=1),
        programs(nesting=1),
        programs(curriculum="mix"),
        programs(size=61),
    ]
    assert len({fingerprint(corpus) for corpus in variants}) == len(variants)
    assert fingerprint(programs()) == fingerprint(programs())
    assert list(programs().pairs()) == list(programs().pairs())


def test_labels_are_the_sources_of_pairs() -> None:
    corpus = labels_as_pairs(LabelSentences(**PAIR_SIZES))
    drawn = list(corpus.pairs())
    assert [pair.split for pair in drawn] == ["train"] * 60 + ["val"] * 10 + ["test"] * 20
    assert {pair.source for pair in drawn} == {"neg", "pos"}
    assert fingerprint(corpus) != fingerprint(labels_as_pairs(LabelSentences(**PAIR_SIZES, seed=1)))


def test_every_split_of_a_book_is_the_whole_book(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("Rain fell. Nobody came. Rain fell.")
    corpus = book_as_pairs(BookSentences(tmp_path / "book.txt"))
    expected = [("0", "Rain fell."), ("1", "Nobody came."), ("2", "Rain fell.")]
    for split in ("train", "val", "test"):
        assert [(source, target) for own, source, target in corpus.pairs() if own == split] == expected
    assert corpus.name == "file"
    before = fingerprint(corpus)
    (tmp_path / "book.txt").write_text("Rain fell. Nobody came. Snow fell.")
    assert before != fingerprint(book_as_pairs(BookSentences(tmp_path / "book.txt")))


@pytest.mark.parametrize("unit", ["words", "chars", "subwords"])
def test_an_index_is_one_token_for_every_text_unit(tmp_path: Path, unit: str) -> None:
    text = " ".join(f"Sentence {'abcdefghijkl'[index]} ends." for index in range(12))
    (tmp_path / "book.txt").write_text(text)
    settings = ParallelSettings(unit=unit, min_freq=1, max_ratio=100, subword_size=300, lowercase=True, symbols=True)
    prepared = prepare_parallel(book_as_pairs(BookSentences(tmp_path / "book.txt")), settings, tmp_path)
    assert {len(prepared.source.source_ids(str(number))) for number in range(12)} == {2}
    assert sorted(prepared.source.vocab.tokens[4:], key=int) == [str(number) for number in range(12)]
    assert ("sentence" in prepared.target.vocab.tokens) == (unit == "words")


@pytest.mark.parametrize(
    ("known", "symbol", "words"),
    [
        ("0 2 10", "1", "there is no sentence for '1': it was too long for training (task.data.max_length)"),
        ("0 2 10", "9", "choose another number from 0 to 10"),
        ("1 2", "0", "it was too long for training (task.data.max_length), choose another number from 1 to 2"),
        ("0 2 10", "11", "there is no sentence for '11': choose from 0 to 10"),
        ("0 2 10", "01", "there is no sentence for '01': choose from 0 to 10"),
        ("0 2 10", "pos", "there is no sentence for 'pos': choose from 0 to 10"),
    ],
)
def test_missing_number_is_reported(known: str, symbol: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        BookSentences.check_number(symbol, known.split())
    assert words in str(caught.value)


def test_known_numbers_and_labels_are_accepted() -> None:
    BookSentences.check_number("10", ["0", "10"])
    BookSentences.check_number("good", ["neg", "pos"])


def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe is a pipe: save its contents in a file"):
        BookSentences(tmp_path / "pipe")
