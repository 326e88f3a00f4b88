"""Vocab: selection and order of words, encoding and decoding."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import UserError
from sluice.text.vocab import PADDING_ID, SPECIALS, UNKNOWN_ID, Vocab

COUNTS = Counter({"the": 5, "plot": 2, "a": 5, "thin": 1, "acting": 2})


def words(vocab: Vocab) -> list[str]:
    """The words after the specials."""
    return vocab.tokens[len(SPECIALS) :]


def test_specials_have_their_ids() -> None:
    vocab = Vocab.build(COUNTS)
    assert vocab.tokens[UNKNOWN_ID] == "<unk>"
    assert vocab.tokens[PADDING_ID] == "<pad>"
    assert len(vocab) == len(SPECIALS) + len(COUNTS)


def test_words_are_sorted_by_frequency_then_alphabetically() -> None:
    assert words(Vocab.build(COUNTS)) == ["a", "the", "acting", "plot", "thin"]


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"min_freq": 2}, ["a", "the", "acting", "plot"]),
        ({"min_freq": 3}, ["a", "the"]),
        ({"max_size": 3}, ["a", "the", "acting"]),
        ({"min_freq": 3, "max_size": 3}, ["a", "the"]),
        ({"max_size": 99}, ["a", "the", "acting", "plot", "thin"]),
    ],
)
def test_min_freq_and_max_size_limit_the_words(limits: dict[str, int], left: list[str]) -> None:
    assert words(Vocab.build(COUNTS, **limits)) == left


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 4), min_size=1), st.integers(1, 4))
def test_build_equals_a_plain_sort(counts: dict[str, int], min_freq: int) -> None:
    expected = sorted((word for word in counts if counts[word] >= min_freq), key=lambda word: (-counts[word], word))
    if expected:
        assert words(Vocab.build(Counter(counts), min_freq=min_freq)) == expected
    else:
        with pytest.raises(UserError):
            Vocab.build(Counter(counts), min_freq=min_freq)


def test_specials_in_the_texts_are_not_repeated() -> None:
    assert words(Vocab.build(Counter({"<unk>": 9, "<pad>": 9, "plot": 1}))) == ["plot"]


def test_building_does_not_change_the_counts() -> None:
    counts = Counter({"<unk>": 1, "plot": 1})
    Vocab.build(counts)
    assert counts == {"<unk>": 1, "plot": 1}


def test_empty_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match=r"min_freq=6 .*occurs 5 times; reduce min_freq"):
        Vocab.build(COUNTS, min_freq=6)


def test_encode_maps_unknown_words_to_unk() -> None:
    vocab = Vocab([*SPECIALS, "plot", "thin"])
    assert vocab.encode(["thin", "unseen", "plot"]) == [3, UNKNOWN_ID, 2]
    assert vocab.decode([3, UNKNOWN_ID, PADDING_ID, 2]) == ["thin", "<unk>", "<pad>", "plot"]
    assert vocab.decode(range(len(vocab))) == vocab.tokens
    assert "plot" in vocab
    assert "unseen" not in vocab


@pytest.mark.parametrize("tokens", [[], ["<unk>"], ["<pad>", "<unk>", "plot"], ["plot", "<unk>", "<pad>"]])
def test_vocab_must_begin_with_the_special_tokens(tokens: list[str]) -> None:
    with pytest.raises(ValueError, match="must start with"):
        Vocab(tokens)


@pytest.mark.parametrize("twice", ["plot", "<pad>"])
def test_repeated_tokens_are_refused(twice: str) -> None:
    with pytest.raises(ValueError, match="must be unique"):
        Vocab([*SPECIALS, "plot", twice])
