"""The tokenizers of language models: words in their case, and characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.text.tokenizers import make_tokenizer
from sluice.text.units import WordUnit


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
def test_words_keep_case_and_inner_punctuation(text: str, tokens: list[str]) -> None:
    assert make_tokenizer("words")(text) == tokens


@given(st.text())
def test_words_lose_whitespace_only(text: str) -> None:
    assert "".join(make_tokenizer("words")(text)) == "".join(text.split())


@given(st.text())
def test_characters_concatenate_to_the_text(text: str) -> None:
    characters = make_tokenizer("chars")(text)
    assert "".join(characters) == text
    assert all(len(character) == 1 for character in characters)


@pytest.mark.parametrize(
    ("language", "text", "tokens"),
    [
        (
            "de",
            "Scho\u0308ne Gru\u0308ße, Herr Dr. Müller.",
            ["Scho\u0308ne", "Gru\u0308ße", ",", "Herr", "Dr.", "Müller", "."],
        ),
        ("hi", "हिन्दी में किताब।", ["हिन्दी", "में", "किताब", "।"]),
        ("ru", "за\u0301мок!", ["за\u0301мок", "!"]),
        ("fa", "می\u200cخواهم", ["می\u200cخواهم"]),
        ("en", "go \U0001f469\u200d\U0001f680, ok", ["go", "\U0001f469\u200d\U0001f680", ",", "ok"]),
    ],
    ids=["decomposed", "hindi", "stress", "persian", "emoji"],
)
def test_moses_keeps_combining_marks(language: str, text: str, tokens: list[str]) -> None:
    unit = WordUnit(language=language)
    assert unit.split(text) == tokens
    assert unit.join(tokens) == text
