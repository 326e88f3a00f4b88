"""Detokenisation."""

import pytest

from sluice.text.tokenizers import END_OF_LINE, detokenize, make_tokenizer


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("the film , he said , was dull .", "the film, he said, was dull."),
        ("It 's great , is n't it ?", "It's great, isn't it?"),
        ("they didn 't , you can 't and we 'll see", "they didn't, you can't and we'll see"),
        ("he ca n't and wo n't", "he can't and won't"),
        ('he said : " come in ! "', 'he said: "come in!"'),
        ("the town ( in the north ) has 3 @.@ 5 % more", "the town (in the north) has 3.5% more"),
        ("1 @,@ 000 @,@ 000 people in a well @-@ known place", "1,000,000 people in a well-known place"),
        ("a @-@ b @-@ c", "a-b-c"),
        ("<unk> was here", "<unk> was here"),
        ("& amp ; < b >", "& amp; < b >"),
    ],
)
def test_punctuation_is_joined(tokens: str, text: str) -> None:
    assert detokenize(tokens.split()) == text


def test_end_of_line_is_a_line_break() -> None:
    tokens = ["One", ".", END_OF_LINE, END_OF_LINE, "Two", "!", END_OF_LINE]
    assert detokenize(tokens) == "One.\n\nTwo!\n"
    assert detokenize([END_OF_LINE]) == "\n"


def test_no_tokens_give_an_empty_text() -> None:
    assert detokenize([]) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Not the masterpiece they promised, but I laughed all the way.",
        "Don't ask; 3.5 of 10,000 people (or so) came!",
        "A well-known actor, a lighthouse keeper: what more?",
        "It begins... and it ends.",
    ],
)
def test_roundtrip_with_words_tokenizer(text: str) -> None:
    assert detokenize(make_tokenizer("words")(text)) == text
