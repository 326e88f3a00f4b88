"""Preparation of labelled texts: vocabulary, held-out splits, and when the corpus is read again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from sluice.data.classification import PreparedCorpus, TextSettings, encode_documents, prepare_corpus
from sluice.data.corpus import Document, Sources
from sluice.data.identity import text_hash
from sluice.errors import UserError
from sluice.text.tokenization import Tokenization
from sluice.text.vocab import SPECIALS, UNKNOWN_ID, Vocab


@dataclass
class MemoryCorpus:
    """An in-memory corpus that counts its reads and may fail after some documents."""

    texts: Sequence[Document]
    labels: tuple[str, ...] = ("neg", "pos")
    sources: Sources = Sources("first")
    fails_after: int | None = None
    name: str = "sample"
    description: str = "made in a test"
    reads: int = 0

    def documents(self) -> Iterator[Document]:
        self.reads += 1
        for number, document in enumerate(self.texts):
            if number == self.fails_after:
                raise UserError("the archive is truncated")
            yield document


GIVEN = (
    Document("train", "a fine film, a fine plot", 1),
    Document("train", "a dull film", 0),
    Document("val", "a fine surprise", 1),
    Document("test", "dull, unheard film", 0),
    Document("test", "fine", 1),
)

WHITESPACE = Tokenization(tokenizer="whitespace")


def unique_texts(per_class: int, split: str = "train") -> list[Document]:
    """Texts of a common and a unique word, with alternating classes."""
    return [Document(split, f"shared {split}{i}", i % 2) for i in range(2 * per_class)]


def prepare(tmp_path: Path, texts: Sequence[Document], **settings: object) -> PreparedCorpus:
    return prepare_corpus(MemoryCorpus(texts), TextSettings(**settings), tmp_path / "cache")


@pytest.mark.parametrize("unit", ["chars", "subwords"])
def test_texts_are_split_into_other_units(tmp_path: Path, unit: str) -> None:
    texts = [
        Document(s, f"Caf\u0065\u0301 {word}<BR>", i % 2)
        for s in ("train", "val", "test")
        for i, word in enumerate(["la", "lala"])
    ]
    tokens = Tokenization(unit=unit, lowercase=True, subword_size=300)
    prepared = prepare(tmp_path, texts, tokens=tokens)
    tokenize = tokens.make(prepared.subword_model)
    assert "".join(tokenize("Caf\u00e9 la")).replace("\u2581", " ").strip() == "caf\u00e9 la"
    for split in ("train", "val", "test"):
        expected = [prepared.vocab.encode(tokenize(document.text)) for document in texts if document.split == split]
        assert [list(prepared.splits[split].texts[row]) for row in range(2)] == expected
        assert all(min(ids) > 0 for ids in expected), "every token is known"


def test_the_limit_of_words_does_not_cut_subwords(tmp_path: Path) -> None:
    tokens = Tokenization(unit="subwords", lowercase=True, subword_size=300)
    sizes = [len(prepare(tmp_path, GIVEN, tokens=tokens, max_size=size).vocab) for size in (None, 5)]
    assert sizes[0] == sizes[1] > 7


def decoded(prepared: PreparedCorpus, split: str) -> list[str]:
    """The decoded texts of a split."""
    texts = prepared.splits[split].texts
    rows = (texts.flat[texts.offsets[i] : texts.offsets[i + 1]] for i in range(len(texts)))
    return [" ".join(prepared.vocab.decode(row)) for row in rows]


class TestIds:
    def test_ids_decode_to_the_tokens(self, tmp_path: Path) -> None:
        prepared = prepare(tmp_path, GIVEN)
        assert decoded(prepared, "train") == ["a fine film , a fine plot", "a dull film"]
        assert prepared.splits["train"].labels.tolist() == [1, 0]
        assert prepared.labels == ("neg", "pos")

    def test_arrays_have_expected_dtypes(self, tmp_path: Path) -> None:
        for split in prepare(tmp_path, GIVEN).splits.values():
            assert (split.texts.flat.dtype, split.texts.offsets.dtype) == (np.int32, np.int64)
            assert split.labels.dtype == np.int64

    def test_chosen_tokenizer_is_used(self, tmp_path: Path) -> None:
        prepared = prepare(
            tmp_path, [Document(s, "Fine, film", 0) for s in ("train", "val", "test")], tokens=WHITESPACE
        )
        assert decoded(prepared, "train") == ["Fine, film"]

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    @pytest.mark.parametrize("text", ["", "  \n", "<br />"])
    def test_text_without_a_token_is_one_unknown_word(self, tmp_path: Path, split: str, text: str) -> None:
        prepared = prepare(tmp_path, [*GIVEN, Document(split, text, 0)])
        texts = prepared.splits[split].texts
        assert texts.flat[texts.offsets[-2] :].tolist() == [UNKNOWN_ID]
        assert "" not in prepared.vocab

    def test_truncated_lengths_are_limited(self, tmp_path: Path) -> None:
        assert prepare(tmp_path, GIVEN).splits["train"].truncated_lengths(4).tolist() == [4, 3]


class TestVocabulary:
    def test_only_training_words_are_known(self, tmp_path: Path) -> None:
        prepared = prepare(tmp_path, GIVEN)
        assert prepared.vocab.tokens == [*SPECIALS, "a", "film", "fine", ",", "dull", "plot"]
        assert decoded(prepared, "val") == ["a fine <unk>"]
        assert decoded(prepared, "test") == ["dull , <unk> film", "fine"]

    def test_words_of_held_out_texts_are_unknown(self, tmp_path: Path) -> None:
        prepared = prepare(tmp_path, unique_texts(20), validation_fraction=0.25, test_fraction=0.25)
        assert len(prepared.vocab) == len(SPECIALS) + 1 + len(prepared.splits["train"].labels)
        for split in ("val", "test"):
            assert set(decoded(prepared, split)) == {"shared <unk>"}

    def test_frequencies_count_training_texts_only(self, tmp_path: Path) -> None:
        texts = [Document("train", "seen seen once", 0), *(Document(s, "once once", 0) for s in ("val", "test"))]
        assert prepare(tmp_path, texts, min_freq=2).vocab.tokens == [*SPECIALS, "seen"]

    @pytest.mark.parametrize(
        ("limits", "words"),
        [({"min_freq": 2}, ["a", "film", "fine"]), ({"max_size": 2}, ["a", "film"]), ({"min_freq": 3}, ["a"])],
    )
    def test_min_freq_and_max_size_limit_the_vocabulary(
        self, tmp_path: Path, limits: dict[str, int], words: list[str]
    ) -> None:
        prepared = prepare(tmp_path, GIVEN, **limits)
        assert prepared.vocab.tokens == [*SPECIALS, *words]
        assert set(chain(*map(str.split, decoded(prepared, "train")))) == {"<unk>", *words}

    def test_empty_vocabulary_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"min_freq=4 .* occurs 3 times"):
            prepare(tmp_path, GIVEN, min_freq=4)
        assert not (tmp_path / "cache").exists()


class TestSplits:
    def test_existing_splits_are_kept(self, tmp_path: Path) -> None:
        texts = [*unique_texts(6), *unique_texts(2, "val"), *unique_texts(3, "test")]
        prepared = prepare(tmp_path, texts, validation_fraction=0.5, test_fraction=0.5)
        assert {name: len(split.labels) for name, split in prepared.splits.items()} == {
            "train": 12,
            "val": 4,
            "test": 6,
        }

    @pytest.mark.parametrize(
        ("given", "sizes"),
        [
            (["test"], {"train": 30, "val": 10, "test": 4}),
            (["val"], {"train": 32, "val": 4, "test": 8}),
            ([], {"train": 24, "val": 8, "test": 8}),
        ],
    )
    def test_missing_splits_are_held_out(self, tmp_path: Path, given: list[str], sizes: dict[str, int]) -> None:
        """The test texts are held out first, the validation texts from the remaining ones."""
        texts = [*unique_texts(20), *chain(*(unique_texts(2, split) for split in given))]
        prepared = prepare(tmp_path, texts, validation_fraction=0.25, test_fraction=0.2)
        assert {name: len(split.labels) for name, split in prepared.splits.items()} == sizes
        for split in prepared.splits.values():
            assert Counter(split.labels.tolist()) == {label: len(split.labels) // 2 for label in (0, 1)}

    def test_every_text_is_in_one_split(self, tmp_path: Path) -> None:
        prepared = prepare(tmp_path, unique_texts(10), validation_fraction=0.3)
        hashes = chain(*(split.tolist() for split in prepared.identity.hashes.splits.values()))
        assert sorted(hashes) == sorted(text_hash(document.text) for document in unique_texts(10))

    def test_labels_follow_their_texts(self, tmp_path: Path) -> None:
        prepared = prepare(tmp_path, unique_texts(10))
        labels = {text_hash(document.text): document.label for document in unique_texts(10)}
        for name, split in prepared.splits.items():
            assert split.labels.tolist() == [labels[text] for text in prepared.identity.hashes.splits[name].tolist()]

    def test_identical_texts_are_in_one_split(self, tmp_path: Path) -> None:
        texts = [
            Document("train", text, i % 2) for i in range(10) for text in (f"caf\u00e9 {i}", f" cafe\u0301  {i}\n")
        ]
        hashes = prepare(tmp_path, texts, validation_fraction=0.3).identity.hashes.splits
        assert {name: len(split) for name, split in hashes.items()} == {"train": 12, "val": 4, "test": 4}
        assert sum(len(set(split.tolist())) for split in hashes.values()) == 10

    def test_classes_of_one_text_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="class 'neg' has too few texts"):
            prepare(tmp_path, [*unique_texts(1), Document("test", "text", 0)])

    def test_missing_training_texts_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no training texts"):
            prepare(tmp_path, unique_texts(3, "test"))

    def test_given_vocabulary_is_used(self) -> None:
        encoded = encode_documents(unique_texts(2), str.split, Vocab([*SPECIALS, "shared"]))
        assert encoded.texts.flat.tolist() == [2, UNKNOWN_ID] * 4
        assert encoded.labels.tolist() == [0, 1, 0, 1]


OTHER = {"tokens": WHITESPACE, "min_freq": 2, "max_size": 3, "validation_fraction": 0.3, "test_fraction": 0.3}


class TestCaching:
    def test_second_start_does_not_read_the_corpus(self, tmp_path: Path) -> None:
        corpus = MemoryCorpus(GIVEN)
        first = prepare_corpus(corpus, TextSettings(), tmp_path)
        again = prepare_corpus(MemoryCorpus(GIVEN, fails_after=0), TextSettings(), tmp_path)
        assert corpus.reads == 1
        assert again.vocab.tokens == first.vocab.tokens
        assert again.labels == first.labels
        for split in ("train", "val", "test"):
            assert decoded(again, split) == decoded(first, split)
            assert np.array_equal(again.splits[split].labels, first.splits[split].labels)

    def test_first_and_later_starts_are_memory_mapped(self, tmp_path: Path) -> None:
        first, again = (prepare_corpus(MemoryCorpus(GIVEN), TextSettings(), tmp_path) for _ in range(2))
        for split in ("train", "val", "test"):
            assert type(first.splits[split].texts.flat) is type(again.splits[split].texts.flat) is np.memmap

    def test_changed_corpus_is_read_again(self, tmp_path: Path) -> None:
        prepare_corpus(MemoryCorpus(GIVEN), TextSettings(), tmp_path)
        longer = MemoryCorpus([*GIVEN, Document("train", "new", 0)], sources=Sources("second"))
        assert len(prepare_corpus(longer, TextSettings(), tmp_path).splits["train"].labels) == 3
        assert longer.reads == 1

    @pytest.mark.parametrize("name", [field.name for field in fields(TextSettings)])
    def test_changed_setting_rereads_the_corpus(self, tmp_path: Path, name: str) -> None:
        corpus = MemoryCorpus(GIVEN)
        changed = replace(TextSettings(), **{name: OTHER[name]})
        for settings in (TextSettings(), changed, TextSettings(), changed):
            prepare_corpus(corpus, settings, tmp_path)
        assert corpus.reads == 2

    def test_changed_class_names_reread_the_corpus(self, tmp_path: Path) -> None:
        for labels in (("neg", "pos"), ("bad", "good")):
            assert prepare_corpus(MemoryCorpus(GIVEN, labels=labels), TextSettings(), tmp_path).labels == labels

    def test_failed_read_leaves_no_files(self, tmp_path: Path) -> None:
        cache_dir = tmp_path / "cache"
        with pytest.raises(UserError, match="is truncated"):
            prepare_corpus(MemoryCorpus(GIVEN, fails_after=3), TextSettings(), cache_dir)
        assert not cache_dir.exists()
        assert len(prepare_corpus(MemoryCorpus(GIVEN), TextSettings(), cache_dir).splits["test"].labels) == 2
