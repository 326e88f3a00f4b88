"""Preparation of running text: one array of ids per split, independent of the block size."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data import running_text as streams
from sluice.data.corpus import Line, Sources
from sluice.data.running_text import PreparedText, StreamSettings, encode_lines, prepare_text
from sluice.errors import UserError
from sluice.text.lines import LinePart
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vocab import PADDING_ID, SPECIALS, UNKNOWN_ID, Vocab

numbers = itertools.count()


@dataclass
class MemoryText:
    """A text in memory that counts its reads."""

    texts: Sequence[Line]
    sources: Sources = field(default_factory=lambda: Sources(f"text {next(numbers)}"))
    name: str = "file"
    description: str = "a text made in a test"
    reads: int = 0

    def lines(self) -> Iterator[Line]:
        self.reads += 1
        yield from self.texts


GIVEN = (
    Line("train", "the cat saw the dog"),
    Line("train", ""),
    Line("train", "the end"),
    Line("val", "the bird"),
    Line("test", "a dog <unk>"),
    Line("test", "end"),
)


def prepare(cache: Path, texts: Sequence[Line], **options: object) -> PreparedText:
    return prepare_text(MemoryText(texts), StreamSettings(**options), cache)  # type: ignore[arg-type]


def decoded(prepared: PreparedText, split: str) -> list[str]:
    return prepared.vocab.decode(prepared.splits[split])


def test_lines_are_concatenated_with_end_tokens(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, GIVEN)
    assert decoded(prepared, "train") == ["the", "cat", "saw", "the", "dog", "<eos>", "<eos>", "the", "end", "<eos>"]
    assert decoded(prepared, "val") == ["the", "<unk>", "<eos>"]
    assert decoded(prepared, "test") == ["<unk>", "dog", "<unk>", "<eos>", "end", "<eos>"]
    assert all(ids.dtype == np.int32 for ids in prepared.splits.values())


def test_parts_of_a_line_are_one_line(tmp_path: Path) -> None:
    whole = prepare(tmp_path, GIVEN)
    parts = [Line("train", "the cat ", ends=False), Line("train", "saw the dog"), *GIVEN[1:]]
    in_parts = prepare(tmp_path, parts)
    assert decoded(in_parts, "train") == decoded(whole, "train")
    assert in_parts.identity.text_digest == whole.identity.text_digest
    split = prepare(tmp_path, [Line("train", "the cat ", ends=False), Line("val", "saw"), Line("test", "the")])
    assert [decoded(split, name) for name in ("train", "val", "test")] == [
        ["the", "cat"],
        ["<unk>", "<eos>"],
        ["the", "<eos>"],
    ]


def test_vocabulary_has_training_words_by_frequency(tmp_path: Path) -> None:
    tokens = prepare(tmp_path, GIVEN).vocab.tokens
    assert tuple(tokens[:2]) == SPECIALS
    assert set(tokens[2:4]) == {"the", "<eos>"}
    assert set(tokens[4:]) == {"cat", "saw", "dog", "end"}


@pytest.mark.parametrize("limit", [{"min_freq": 2}, {"max_size": 2}])
def test_rare_words_are_unknown(tmp_path: Path, limit: dict[str, int]) -> None:
    prepared = prepare(tmp_path, GIVEN, **limit)
    assert len(prepared.vocab) == 4
    known = [token for token in decoded(prepared, "train") if token != "<unk>"]
    assert known == ["the", "the", "<eos>", "<eos>", "the", "<eos>"]
    assert len(prepared.splits["train"]) == 10


@pytest.mark.parametrize("limit", [{"min_freq": 4}, {"max_size": 1}])
@pytest.mark.parametrize("tokenizer", ["whitespace", "chars"])
def test_end_of_line_is_always_in_the_vocabulary(tmp_path: Path, tokenizer: str, limit: dict[str, int]) -> None:
    texts = [Line("train", "a a a a"), Line("val", "a"), Line("test", "a")]
    prepared = prepare(tmp_path, texts, tokenizer=tokenizer, **limit)
    assert decoded(prepared, "train")[-1] == "<eos>"


def test_character_tokens_include_blanks(tmp_path: Path) -> None:
    texts = [Line("train", "ab a"), Line("val", "c"), Line("test", "b")]
    prepared = prepare(tmp_path, texts, tokenizer="chars")
    assert decoded(prepared, "train") == ["a", "b", " ", "a", "<eos>"]
    assert decoded(prepared, "val") == ["<unk>", "<eos>"]


def test_specials_in_the_text_are_unknown_words(tmp_path: Path) -> None:
    texts = [Line("train", "<unk> <pad> a <unk> <eos> a"), Line("val", "<pad>"), Line("test", "a")]
    prepared = prepare(tmp_path, texts)
    assert prepared.vocab.tokens == [*SPECIALS, *sorted(["<eos>", "a"])]
    assert decoded(prepared, "train") == ["<unk>", "<unk>", "a", "<unk>", "<eos>", "a", "<eos>"]
    assert PADDING_ID not in np.concatenate(list(prepared.splits.values()))


words = st.lists(st.sampled_from(["a", "b", "c", "dd", "<unk>"]), max_size=5).map(" ".join)
some_lines = st.lists(words, min_size=1, max_size=12)


@given(
    some_lines.filter(lambda lines: len(lines) > 1),
    some_lines,
    some_lines,
    st.integers(1, 7),
    st.sampled_from([{}, {"min_freq": 2}, {"max_size": 3}]),
)
@settings(deadline=None, max_examples=40)
def test_block_size_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    train: list[str],
    val: list[str],
    test: list[str],
    block: int,
    limit: dict[str, int],
) -> None:
    texts = [Line(name, text) for name, lines in {"train": train, "val": val, "test": test}.items() for text in lines]
    cache = tmp_path_factory.mktemp("cache")
    whole = prepare(cache, texts, **limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", block)
        in_blocks = prepare(cache, texts, **limit)
    assert in_blocks.vocab.tokens == whole.vocab.tokens
    for split, ids in whole.splits.items():
        assert in_blocks.splits[split].tolist() == ids.tolist()
        lines = [line.text for line in texts if line.split == split]
        known = [
            token if token in whole.vocab.tokens else "<unk>" for line in lines for token in [*line.split(), "<eos>"]
        ]
        assert decoded(whole, split) == known


def test_splits_may_be_interleaved(tmp_path: Path) -> None:
    texts = [Line(split, f"{split} {number}") for number in range(9) for split in ("test", "train", "val")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", 4)
        prepared = prepare(tmp_path, texts)
    assert len(prepared.splits["val"]) == 27
    assert decoded(prepared, "test")[1::3] == [str(number) for number in range(9)]


def test_arrays_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    for ids in prepare(tmp_path, GIVEN).splits.values():
        assert isinstance(ids, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            ids[0] = 1


def test_text_is_read_once_per_settings(tmp_path: Path) -> None:
    text = MemoryText(GIVEN)
    first = prepare_text(text, StreamSettings(), tmp_path)
    second = prepare_text(text, StreamSettings(), tmp_path)
    assert text.reads == 1
    assert second.vocab.tokens == first.vocab.tokens
    for number, options in enumerate(({"min_freq": 2}, {"max_size": 2}, {"tokenizer": "chars"}), start=2):
        prepare_text(text, StreamSettings(**options), tmp_path)  # type: ignore[arg-type]
        assert text.reads == number
    prepare_text(MemoryText(GIVEN, Sources("another")), StreamSettings(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 5, "no partial entry is left"


def test_failed_read_leaves_no_files(tmp_path: Path) -> None:
    class Broken(MemoryText):
        def lines(self) -> Iterator[Line]:
            yield from self.texts
            raise UserError("the archive broke off")

    with pytest.raises(UserError, match="broke off"):
        prepare_text(Broken(GIVEN), StreamSettings(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_empty_split_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(UserError, match=rf"the {split} split of a text made in a test is empty: provide more text"):
        prepare(tmp_path, [line for line in GIVEN if line.split != split])


def test_cache_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match=r"cache cannot be written \(file exists\): set paths.cache_dir"):
        prepare(tmp_path / "cache", GIVEN)


def test_given_vocabulary_is_used() -> None:
    vocab = Vocab([*SPECIALS, END_OF_LINE, "the", "cat"])
    parts = [LinePart("the ", False), LinePart("cat", True), LinePart("", True), LinePart("a cat", True)]
    ids = encode_lines(parts, str.split, vocab)
    assert vocab.decode(ids) == ["the", "cat", END_OF_LINE, END_OF_LINE, "<unk>", "cat", END_OF_LINE]
    assert (ids == UNKNOWN_ID).sum() == 1
    assert ids.dtype == np.int32
    assert len(encode_lines([], str.split, vocab)) == 0
