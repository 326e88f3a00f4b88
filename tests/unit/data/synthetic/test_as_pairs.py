"""Generated sources and targets go through the preparation of a parallel corpus and come out as they were."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from fingerprints import fingerprint
from sluice.data.parallel import PairSettings, prepare_pairs
from sluice.data.synthetic.as_pairs import GeneratedPairs, book_as_pairs, labels_as_pairs, programs_as_pairs
from sluice.data.synthetic.execute import Execute
from sluice.data.synthetic.labels_to_text import BookSentences, LabelSentences

SIZES = {"size": 60, "val_size": 10, "test_size": 20}
LETTERS = PairSettings(unit="chars", min_freq=1, max_length=1000, max_ratio=1000)


def executed(**options: object) -> Execute:
    return Execute(**{"length": 2, "nesting": 2, "curriculum": "naive", **SIZES, **options})  # type: ignore[arg-type]


def programs(**options: object) -> GeneratedPairs:
    return programs_as_pairs(executed(**options))


def test_programs_letter_by_letter(tmp_path: Path) -> None:
    prepared = prepare_pairs(programs(), LETTERS, tmp_path)
    assert prepared.notes == []
    assert {name: len(split) for name, split in prepared.splits.items()} == {"train": 240, "val": 10, "test": 20}
    own = [(pair.source, pair.target) for pair in programs().pairs() if pair.split == "train"]
    split = prepared.splits["train"]
    assert [(split.source_lines[row], split.target_lines[row]) for row in range(240)] == own
    assert split.source.lengths.tolist() == [len(code) + 1 for code, _ in own]
    assert split.target.lengths.tolist() == [len(result) + 2 for _, result in own]
    assert np.unique(split.target.flat).size <= 13


def test_training_has_a_stage_after_the_other() -> None:
    stages = [list(executed().programs("train", stage)) for stage in range(4)]
    train = [(pair.source, pair.target) for pair in programs().pairs() if pair.split == "train"]
    assert train == list(chain.from_iterable(stages))


def test_settings_have_fingerprints_of_their_own() -> None:
    ways = [
        programs(),
        programs(seed=1),
        programs(nesting=1),
        programs(curriculum="mix"),
        programs(size=61),
    ]
    assert len({fingerprint(corpus) for corpus in ways}) == len(ways)
    assert fingerprint(programs()) == fingerprint(programs())
    assert list(programs().pairs()) == list(programs().pairs())


def test_a_class_and_its_sentences() -> None:
    corpus = labels_as_pairs(LabelSentences(**SIZES))
    drawn = list(corpus.pairs())
    assert [pair.split for pair in drawn] == ["train"] * 60 + ["val"] * 10 + ["test"] * 20
    assert {pair.source for pair in drawn} == {"neg", "pos"}
    assert fingerprint(corpus) != fingerprint(labels_as_pairs(LabelSentences(**SIZES, seed=1)))


def test_every_split_of_a_book_is_the_book(tmp_path: Path) -> None:
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
def test_a_number_is_one_symbol_whatever_the_sentence_is_cut_into(tmp_path: Path, unit: str) -> None:
    text = " ".join(f"Sentence {'abcdefghijkl'[place]} ends." for place in range(12))
    (tmp_path / "book.txt").write_text(text)
    settings = PairSettings(unit=unit, min_freq=1, max_ratio=100, subword_size=40, lowercase=True, symbols=True)
    prepared = prepare_pairs(book_as_pairs(BookSentences(tmp_path / "book.txt")), settings, tmp_path)
    assert {len(prepared.source.source_ids(str(number))) for number in range(12)} == {2}
    assert sorted(prepared.source.vocab.tokens[4:], key=int) == [str(number) for number in range(12)]
    assert ("sentence" in prepared.target.vocab.tokens) == (unit == "words")
