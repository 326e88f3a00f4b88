"""The tokenizers by name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchtext.data.utils import get_tokenizer

from sluice.text.tokenizers import TOKENIZERS, make_tokenizer


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
