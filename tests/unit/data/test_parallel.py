"""Preparation of parallel corpora: filtering, truncation, messages, and decoding from the cache."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.corpus import SentencePair, Sources
from sluice.data.parallel import (
    ParallelSettings,
    PreparedParallel,
    encode_parallel,
    prepare_parallel,
    read_parallel_texts,
)
from sluice.data.ragged import Lines
from sluice.data.synthetic.parallel import SampleParallel
from sluice.errors import UserError
from sluice.text.coder import BOS_ID, EOS_ID
from sluice.text.vocab import UNKNOWN_ID

SAMPLE = SampleParallel(size=60)
UNITS = pytest.mark.parametrize("unit", ["words", "subwords", "chars"])


class ListCorpus:
    """Pairs from a list."""

    name, description, source_language, target_language = "file", "made in a test", "de", "en"

    def __init__(self, **splits: list[tuple[str, str]]) -> None:
        self.splits, self.reads = splits, 0
        self.sources = Sources(repr(splits))

    def pairs(self) -> Iterator[SentencePair]:
        self.reads += 1
        for split, rows in self.splits.items():
            for source, target in rows:
                yield SentencePair(split, source, target)


ROWS = [(f"ein wort {i}", f"a word {i}") for i in range(10)]


def prepare(tmp_path: Path, corpus: Any = SAMPLE, **settings: Any) -> PreparedParallel:
    settings = {"min_freq": 1, "subword_size": 350} | settings
    return prepare_parallel(corpus, ParallelSettings(**settings), tmp_path)


def sentences(prepared: PreparedParallel, split: str, side: str) -> list[str]:
    """The sentences decoded from their ids."""
    ids, coder = getattr(prepared.splits[split], side), getattr(prepared, side)
    rows = [ids.rows(np.asarray([row])).flat.tolist() for row in range(len(ids))]
    assert all(row[-1] == EOS_ID for row in rows)
    assert all((row[0] == BOS_ID) == (side == "target") for row in rows)
    return [coder.text(coder.tokens(row[1:-1] if side == "target" else row[:-1])) for row in rows]


@UNITS
@pytest.mark.parametrize("joint", [False, True])
def test_training_sentences_are_decoded_from_their_ids(tmp_path: Path, unit: str, joint: bool) -> None:
    prepared = prepare(tmp_path, unit=unit, joint=joint)
    pairs = [pair for pair in SAMPLE.pairs() if pair.split == "train"]
    assert sentences(prepared, "train", "source") == [pair.source for pair in pairs]
    assert sentences(prepared, "train", "target") == [pair.target for pair in pairs]
    assert (prepared.source.vocab.tokens == prepared.target.vocab.tokens) == joint


@UNITS
def test_lowercase_changes_ids_but_not_stored_lines(tmp_path: Path, unit: str) -> None:
    prepared = prepare(tmp_path, unit=unit, lowercase=True)
    expected = [pair.target.lower() for pair in SAMPLE.pairs() if pair.split == "train"]
    assert sentences(prepared, "train", "target") == expected
    assert prepared.splits["train"].target_lines[0] != expected[0]


def test_lines_are_stored_unchanged(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    for split in prepared.splits:
        pairs = [pair for pair in SAMPLE.pairs() if pair.split == split]
        assert list(prepared.splits[split].source_lines) == [pair.source for pair in pairs]
        assert list(prepared.splits[split].target_lines) == [pair.target for pair in pairs]


def test_vocabulary_has_training_words_only(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, ListCorpus(train=[("ja", "yes")] * 2, val=[("nein", "no")], test=[("ja", "no")]))
    assert prepared.source.vocab.tokens[4:] == ["ja"]
    assert prepared.splits["val"].source.flat.tolist() == [UNKNOWN_ID, EOS_ID]
    assert prepared.splits["val"].target.flat.tolist() == [BOS_ID, UNKNOWN_ID, EOS_ID]


def test_training_pairs_with_an_empty_side_are_dropped(tmp_path: Path) -> None:
    empty = [("", "y"), ("ein", " \t"), ("", "")]
    prepared = prepare(tmp_path, ListCorpus(train=[*ROWS, *empty], val=ROWS, test=[ROWS[0], *empty, ROWS[1]]))
    assert [len(prepared.splits[name]) for name in ("train", "val", "test")] == [10, 10, 5]
    assert prepared.notes == [
        "Dropped 3 train pairs with an empty source or target",
        "Kept 3 test pairs with an empty source or target",
    ]
    assert sentences(prepared, "test", "source") == [ROWS[0][0], "", "ein", "", ROWS[1][0]]
    assert list(prepared.splits["test"].target_lines) == [ROWS[0][1], "y", "", "", ROWS[1][1]]


def test_entries_of_versions_that_dropped_test_pairs_are_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = ListCorpus(train=ROWS, val=ROWS, test=[("", "y"), *ROWS])
    texts, given, _ = read_parallel_texts(ListCorpus(train=ROWS, val=ROWS, test=ROWS))
    earlier = (texts, given, ["Dropped 1 test pairs with an empty source or target"])
    with monkeypatch.context() as patched:
        patched.setattr("sluice.data.parallel.read_parallel_texts", lambda _: earlier)
        assert len(prepare(tmp_path, corpus).splits["test"]) == 10
    shutil.rmtree(max(tmp_path.glob("pairs-*"), key=lambda folder: folder.stat().st_mtime_ns))
    assert len(prepare(tmp_path, corpus).splits["test"]) == 11


def test_words_of_a_language_without_spaces_are_noted(tmp_path: Path) -> None:
    corpus = ListCorpus(train=ROWS, val=ROWS, test=ROWS)
    corpus.target_language = "zh"
    expected = "Sentences in zh are written without spaces: task.text.unit=words needs spaces between the words"
    assert [note[: len(expected)] for note in prepare(tmp_path, corpus).notes] == [expected]
    assert prepare(tmp_path, corpus, unit="chars").notes == []


def test_long_and_unequal_training_pairs_are_dropped_and_counted(tmp_path: Path) -> None:
    odd = [("a " * 5, "a " * 6), ("a", "a " * 4), ("a " * 5, "a"), ("a " * 5, "a " * 5), ("a", "a " * 3)]
    prepared = prepare(tmp_path, ListCorpus(train=odd, val=ROWS, test=ROWS), max_length=5, max_ratio=3)
    assert list(prepared.splits["train"].source_lines) == ["a a a a a", "a"]
    assert prepared.notes == [
        "Dropped 1 training pairs longer than 5 tokens",
        "Dropped 2 training pairs with a length ratio above 3",
    ]


def test_long_evaluation_sources_are_truncated(tmp_path: Path) -> None:
    long = [("a b c d e", "v w x y z")]
    prepared = prepare(tmp_path, ListCorpus(train=[("a b", "v w")], val=long, test=ROWS[:1]), max_length=3)
    assert sentences(prepared, "val", "source") == ["a b <unk>"]
    assert prepared.splits["val"].target_lines[0] == "v w x y z"
    assert prepared.splits["val"].target.lengths.tolist() == [7]
    assert prepared.notes == ["Truncated 1 val sources longer than 3 tokens"]


def test_limits_that_leave_no_pair_are_refused(tmp_path: Path) -> None:
    corpus = ListCorpus(train=[("a b c", "a b c")], val=ROWS, test=ROWS)
    with pytest.raises(UserError, match=r"all 1 exceed task\.data\.max_length=2"):
        prepare(tmp_path, corpus, max_length=2)
    with pytest.raises(UserError, match="all val pairs have an empty source or target"):
        prepare(tmp_path, ListCorpus(train=ROWS, val=[("", "")], test=ROWS))


def test_missing_splits_are_held_out_by_source(tmp_path: Path) -> None:
    rows = [(f"satz {i // 2}", f"sentence {i}") for i in range(200)]
    prepared = prepare(tmp_path, ListCorpus(train=rows), validation_fraction=0.2)
    parts = {name: set(split.source_lines) for name, split in prepared.splits.items()}
    assert sum(len(split) for split in prepared.splits.values()) == 200
    assert len(prepared.splits["test"]) == 20
    assert len(prepared.splits["val"]) == 36
    assert parts["train"].isdisjoint(parts["val"] | parts["test"])
    assert parts["val"].isdisjoint(parts["test"])


def test_corpus_is_prepared_once_per_settings(tmp_path: Path) -> None:
    corpus = ListCorpus(train=ROWS, val=ROWS, test=ROWS)
    first = prepare(tmp_path, corpus, unit="subwords", joint=True)
    again = prepare(tmp_path, corpus, unit="subwords", joint=True)
    assert corpus.reads == 1
    assert again.source.saved() == first.source.saved()
    prepare(tmp_path, corpus)
    assert corpus.reads == 2


@UNITS
def test_given_coders_give_the_prepared_ids(tmp_path: Path, unit: str) -> None:
    prepared = prepare(tmp_path, unit=unit)
    texts, given, _ = read_parallel_texts(SAMPLE)
    test = texts.select(np.flatnonzero(given == "test"))
    encoded = encode_parallel(test, prepared.source, prepared.target, ParallelSettings())
    for side in ("source", "target"):
        found, expected = getattr(encoded, side), getattr(prepared.splits["test"], side)
        assert np.array_equal(found.flat, expected.flat)
        assert np.array_equal(found.offsets, expected.offsets)


@given(st.lists(st.text()))
def test_lines_roundtrip_any_text(texts: list[str]) -> None:
    lines = Lines.of(texts)
    assert len(lines) == len(texts)
    assert [lines[i] for i in range(len(texts))] == texts
    with pytest.raises(IndexError):
        _ = lines[len(texts)]
