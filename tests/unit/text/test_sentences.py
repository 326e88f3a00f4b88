"""SentenceVocab: BOS and EOS, and texts that contain their names."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import UserError
from sluice.text.coder import BOS, BOS_ID, EOS, EOS_ID, SentenceVocab
from sluice.text.vocab import PADDING, PADDING_ID, UNKNOWN, UNKNOWN_ID, Vocab

HEAD = [UNKNOWN, PADDING, BOS, EOS]


def test_marks_follow_the_specials() -> None:
    vocab = SentenceVocab.build(Counter({"a": 3, "b": 5}))
    assert vocab.tokens == [*HEAD, "b", "a"]
    assert vocab.decode([UNKNOWN_ID, PADDING_ID, BOS_ID, EOS_ID]) == HEAD


def test_sentence_vocab_is_a_vocab() -> None:
    vocab = SentenceVocab.build(Counter({"a": 3, "b": 5}))
    assert isinstance(vocab, Vocab)
    assert vocab.encode(["a", "b", "c"]) == [5, 4, UNKNOWN_ID]
    assert Vocab(vocab.tokens).encode(["a", "b", "c"]) == vocab.encode(["a", "b", "c"])


def test_marks_in_a_text_are_unknown_words() -> None:
    vocab = SentenceVocab.build(Counter({BOS: 9, EOS: 9, PADDING: 9, "a": 1}))
    assert vocab.tokens == [*HEAD, "a"]
    assert vocab.encode([BOS, EOS, PADDING, "a"]) == [UNKNOWN_ID] * 3 + [4]


@pytest.mark.parametrize("tokens", [[UNKNOWN, PADDING, "a"], [UNKNOWN, PADDING, EOS, BOS], [BOS, EOS, UNKNOWN]])
def test_missing_marks_are_refused(tokens: list[str]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        SentenceVocab(tokens)


def test_min_freq_that_leaves_no_word_is_refused() -> None:
    with pytest.raises(UserError, match="min_freq=3 leaves no word"):
        SentenceVocab.build(Counter({"a": 2, EOS: 50}), min_freq=3)


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 9), min_size=1), st.integers(1, 5))
def test_limits_count_words_only(counts: dict[str, int], size: int) -> None:
    words = {word: count for word, count in counts.items() if word not in HEAD}
    if words:
        vocab = SentenceVocab.build(Counter(counts), max_size=size)
        assert len(vocab) == len(HEAD) + min(size, len(words))
        assert min(words[word] for word in vocab.tokens[4:]) >= max(
            (count for word, count in words.items() if word not in vocab.tokens), default=0
        )
