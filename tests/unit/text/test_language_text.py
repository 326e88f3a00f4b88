"""A language model's way from what people type to ids and back."""

import pytest

from sluice.text.language_text import LanguageText
from sluice.text.vocab import PADDING_ID, SPECIALS, UNKNOWN_ID, Vocab

WORDS = Vocab([*SPECIALS, "<eos>", "the", "film", ",", ".", "Paris", "was", "dull", "it's"])
LETTERS = Vocab([*SPECIALS, "<eos>", *"abc ."])


@pytest.mark.parametrize("tokenizer", ["whitespace", "words"])
def test_a_prompt_is_cut_as_people_write(tokenizer: str) -> None:
    """A corpus whose punctuation is set apart needn't be imitated."""
    text = LanguageText(WORDS, tokenizer)
    assert text.tokens("the film, it's dull.") == ["the", "film", ",", "it's", "dull", "."]
    assert text.prompt_ids("the film") == [2, 3, 4]
    assert text.prompt_ids("") == [2], "a text begins after the end of a line"


def test_words_known_in_lower_case_only_are_lowered() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("The Film was Paris paris") == ["the", "film", "was", "Paris", "paris"]


def test_lines_end_in_between_but_not_after_the_prompt() -> None:
    text = LanguageText(WORDS, "words")
    assert text.tokens("the film\n\nwas") == ["the", "film", "<eos>", "<eos>", "was"]
    assert text.prompt_ids("the\n") == [2, 3, 2]


def test_unknown_words_are_named() -> None:
    text = LanguageText(WORDS, "words")
    assert text.unknown("the dreary film, drearily") == ["dreary", "drearily"]
    assert text.prompt_ids("dreary") == [2, UNKNOWN_ID]
    assert text.unknown("the film") == []


def test_ids_are_joined_as_people_write() -> None:
    text = LanguageText(WORDS, "whitespace")
    assert text.join(text.prompt_ids("the film, Paris.\nit's dull")[1:]) == "the film, Paris.\nit's dull"
    assert text.join([]) == ""


def test_letters_are_joined_as_they_are() -> None:
    text = LanguageText(LETTERS, "chars")
    ids = text.prompt_ids("ab  c.\nA")
    assert ids == [2, *LETTERS.encode(list("ab  c.")), 2, LETTERS.encode(["a"])[0]]
    assert text.join(ids[1:]) == "ab  c.\na"


def test_the_padding_is_never_written() -> None:
    assert LanguageText(WORDS, "words").banned_ids == (PADDING_ID,)
