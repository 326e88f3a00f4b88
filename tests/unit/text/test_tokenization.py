"""Normalisation of texts, and the warning about scripts without spaces."""

import logging

import pytest

from sluice.errors import UserError
from sluice.text.coder import MARKS, SentenceCoder, SentenceVocab
from sluice.text.tokenization import Tokenization, normalize
from sluice.text.vocab import SPECIALS, warn_of_whole_sentences


@pytest.mark.parametrize(
    "mark", ["<br>", "<br/>", "<br />", "<BR>", "<Br\t/>", "</br>", "< br >", '<br clear="all">', "&lt;br /&gt;"]
)
def test_every_spelling_of_a_line_break_is_replaced(mark: str) -> None:
    assert normalize(f"one{mark}two") == "one two"
    assert Tokenization(tokenizer="words").make()(f"one{mark}two") == ["one", "two"]
    assert mark in "".join(Tokenization(unit="chars", normalize=False).make()(f"one{mark}two"))


@pytest.mark.parametrize("text", ["a < b", "<bravo>", "brand", "<b>", "x<br"])
def test_other_text_is_kept(text: str) -> None:
    assert normalize(text) == text


def test_equivalent_spellings_are_one_token() -> None:
    assert Tokenization().make()("caf\u0065\u0301") == ["caf\u00e9"]
    assert Tokenization(normalize=False).make()("caf\u0065\u0301") == ["caf\u0065\u0301"]


def test_texts_are_lowercased_on_request() -> None:
    assert Tokenization(tokenizer="whitespace").make()("A b") == ["A", "b"]
    assert Tokenization(tokenizer="whitespace", lowercase=True).make()("A b") == ["a", "b"]


@pytest.mark.parametrize(
    ("tokenizer", "tokenized", "expected"),
    [
        ("whitespace", None, ["It's", "fine."]),
        ("whitespace", False, ["It's", "fine", "."]),
        ("words", True, ["It's", "fine."]),
        ("words", False, ["It's", "fine", "."]),
        ("basic_english", True, ["it's", "fine."]),
        ("basic_english", None, ["it", "'", "s", "fine", "."]),
    ],
)
def test_given_texts_may_be_tokenized_or_raw(tokenizer: str, tokenized: bool | None, expected: list[str]) -> None:
    assert Tokenization(tokenizer=tokenizer).given(tokenized).make()("It's fine.") == expected
    if tokenizer != "basic_english":
        vocab = SentenceVocab([*SPECIALS, *MARKS])
        coder = SentenceCoder(vocab=vocab, unit="words", language="en", tokenizer=tokenizer)
        assert coder.for_given(tokenized).unit.split("It's fine.") == expected


def test_models_of_characters_read_raw_text() -> None:
    with pytest.raises(UserError, match="a model of chars reads text as it is: leave out --tokenized"):
        Tokenization(unit="chars").given(True)
    assert Tokenization(unit="chars").given(False).make()("ab") == ["a", "b"]


SENTENCES = {"这部电影非常精彩演员表演出色": 1, "故事情节很无聊浪费时间不推荐": 1, "good": 2}
TEXTS = {
    "Chinese sentences": (SENTENCES, True),
    "Thai sentences": ({"ภาพยนตร์เรื่องนี้สนุกมาก": 3}, True),
    "Chinese words": ({"这": 9, "部": 5, "电影": 7, "非常": 3, "精彩": 2}, False),
    "a Chinese name in English": ({"film": 90, "the": 50, "这部电影非常精彩演员表演出色": 1}, False),
    "long English words": ({"antidisestablishmentarianism": 9}, False),
}


@pytest.mark.parametrize(("counts", "warned"), TEXTS.values(), ids=TEXTS)
def test_whole_sentences_as_tokens_are_reported(
    counts: dict[str, int], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_whole_sentences(counts)
    assert [record.getMessage().count("set task.text.unit=chars") for record in caplog.records] == [1] * warned
