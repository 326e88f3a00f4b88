"""The tokenizers by name."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchtext.data.utils import get_tokenizer

from sluice.text.tokenizers import TOKENIZERS, make_tokenizer, word_pattern


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Wait... NOT bad!?", ["wait", ".", ".", ".", "not", "bad", "!", "?"]),
        ("It's great, (really)", ["it", "'", "s", "great", ",", "(", "really", ")"]),
        ("One<br />two<br /><br />three", ["one", "two", "three"]),
        ('She: "10/10"; Élan', ["she", "10/10", "élan"]),
        (" \t\n", []),
    ],
)
def test_basic_english_matches_examples(text: str, tokens: list[str]) -> None:
    assert make_tokenizer("basic_english")(text) == tokens


def test_whitespace_tokenizer_only_splits() -> None:
    assert make_tokenizer("whitespace")(" It's<b>\tGREAT, really\n") == ["It's<b>", "GREAT,", "really"]


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "chars"])
@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_empty_text_has_no_tokens(name: str, text: str) -> None:
    assert make_tokenizer(name)(text) == []


def test_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'spacy': expected one of words, whitespace, basic_english, chars"):
        make_tokenizer("spacy")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<br />", "<br", " />", *"\"'.,()!?;: \nAbİß\u00a0"])).map("".join))
def test_basic_english_is_that_of_torchtext(text: str) -> None:
    assert make_tokenizer("basic_english")(text) == get_tokenizer("basic_english")(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("हिन्दी में किताब।", ["हिन्दी", "में", "किताब", "।"]),
        ("Scho\u0308ne Gru\u0308ße, 3.5!", ["Scho\u0308ne", "Gru\u0308ße", ",", "3.5", "!"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("go \U0001f469\u200d\U0001f680\u2764\ufe0f", ["go", "\U0001f469\u200d\U0001f680", "\u2764\ufe0f"]),
        ("l’été d'Élan—oui...", ["l’été", "d'Élan", "—", "oui", "..."]),
        ("a \u0301b", ["a", "\u0301", "b"]),
    ],
    ids=["hindi", "decomposed", "hebrew", "persian", "emoji", "french", "lone-mark"],
)
def test_words_keep_combining_marks(text: str, tokens: list[str]) -> None:
    assert make_tokenizer("words")(text) == tokens


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_words_without_marks_are_those_of_a_simple_pattern(text: str) -> None:
    simple = r"\w+(?:['’.,\-]\w+)*|\.{2,}|-{2,}|[^\w\s]"
    assert make_tokenizer("words")(text) == re.findall(simple, text)
    assert word_pattern().findall(text) == re.findall(simple, text)
