"""Encoding of prompts and decoding of generated ids."""

import pytest

from sluice.text.language_text import LanguageText
from sluice.text.vocab import PADDING_ID, SPECIALS, UNKNOWN_ID, Vocab

WORDS = Vocab([*SPECIALS, "<eos>", "the", "film", ",", ".", "Paris", "was", "dull", "it's"])
CHARACTERS = Vocab([*SPECIALS, "<eos>", *"abc ."])


@pytest.mark.parametrize("tokenizer", ["whitespace", "words"])
def test_prompt_is_tokenised_with_punctuation(tokenizer: str) -> None:
    """Prompts for models of tokenised corpora need not be tokenised."""
    text = LanguageText(WORDS, tokenizer)
    assert text.tokens("the film, it's dull.") == ["the", "film", ",", "it's", "dull", "."]
    assert text.prompt_ids("the film") == [2, 3, 4]
    assert text.prompt_ids("") == [2], "a prompt starts after the end of a line"


def test_words_known_in_lower_case_only_are_lower_cased() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("The Film was Paris paris") == ["the", "film", "was", "Paris", "paris"]


def test_line_breaks_are_tokens() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("the film\n\nwas") == ["the", "film", "<eos>", "<eos>", "was"]
    assert text.prompt_ids("the\n") == [2, 3, 2]


def test_unknown_words_are_listed() -> None:
    text = LanguageText(WORDS, "words")
    assert text.unknown("the dreary film, drearily") == ["dreary", "drearily"]
    assert text.prompt_ids("dreary") == [2, UNKNOWN_ID]
    assert text.unknown("the film") == []


def test_join_detokenises() -> None:
    text = LanguageText(WORDS, "whitespace")
    assert text.join(text.prompt_ids("the film, Paris.\nit's dull")[1:]) == "the film, Paris.\nit's dull"
    assert text.join([]) == ""


def test_characters_are_concatenated() -> None:
    text = LanguageText(CHARACTERS, "chars")
    ids = text.prompt_ids("ab  c.\nA")
    assert ids == [2, *CHARACTERS.encode(list("ab  c.")), 2, CHARACTERS.encode(["a"])[0]]
    assert text.join(ids[1:]) == "ab  c.\na"


def test_padding_is_banned() -> None:
    assert LanguageText(WORDS, "words").banned_ids == (PADDING_ID,)
