"""The tokenizers of language models: words that keep their case, and letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.text.tokenizers import make_tokenizer


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Wait... NOT bad!?", ["Wait", "...", "NOT", "bad", "!", "?"]),
        ("It's 3.5, or 10,000.", ["It's", "3.5", ",", "or", "10,000", "."]),
        ("well-known -- “quoted” (text)", ["well-known", "--", "“", "quoted", "”", "(", "text", ")"]),
        ("Élan, naïve", ["Élan", ",", "naïve"]),
        (" \t", []),
    ],
)
def test_words_keep_case_and_what_stands_inside_them(text: str, tokens: list[str]) -> None:
    assert make_tokenizer("words")(text) == tokens


@given(st.text())
def test_words_lose_nothing_but_blanks(text: str) -> None:
    assert "".join(make_tokenizer("words")(text)) == "".join(text.split())


@given(st.text())
def test_letters_are_all_of_a_text(text: str) -> None:
    letters = make_tokenizer("chars")(text)
    assert "".join(letters) == text
    assert all(len(letter) == 1 for letter in letters)
