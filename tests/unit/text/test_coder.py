"""Units and coders: splitting, encoding, decoding, saving."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sluice.options import SENTENCE_TOKENIZERS
from sluice.text.coder import EOS_ID, SentenceCoder, SentenceVocab, make_unit
from sluice.text.units import SubwordModel, WordUnit
from sluice.text.vocab import UNKNOWN_ID

TEXTS = ["Two men don't wait, they run.", "A man's dog (brown) runs!", "Men run: they don't wait."]
MODEL = SubwordModel.learn([text.lower() for text in TEXTS] * 3, size=300).model
UNITS = {"words": None, "subwords": MODEL, "chars": None}


def make_coder(unit: str, **options: Any) -> SentenceCoder:
    described = {"language": "en", "tokenizer": "moses", "lowercase": False, "subwords": UNITS[unit]} | options
    made = make_unit(unit, **described)
    if unit == "subwords":
        return SentenceCoder(vocab=SentenceVocab.of_subwords(SubwordModel(MODEL)), unit=unit, **described)
    counts = Counter(token for text in TEXTS for token in made.split(text))
    return SentenceCoder(vocab=SentenceVocab.build(counts), unit=unit, **described)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", TEXTS)
def test_decoding_restores_the_sentence(unit: str, text: str) -> None:
    coder = make_coder(unit)
    assert coder.text(coder.tokens(coder.encode(text))) == text


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", TEXTS)
def test_lower_cased_roundtrip(unit: str, text: str) -> None:
    coder = make_coder(unit, lowercase=True)
    assert coder.text(coder.tokens(coder.encode(text))) == text.lower()


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_subword_ids_restore_any_line(text: str) -> None:
    coder = make_coder("subwords")
    ids = coder.encode(text)
    assert UNKNOWN_ID not in ids
    assert coder.text(coder.tokens(ids)) == text.strip()


@pytest.mark.parametrize("unit", ["words", "chars"])
def test_raw_tokens_keep_the_case(unit: str) -> None:
    made = make_unit(unit, language="en", tokenizer="moses", lowercase=True, subwords=None)
    for text in TEXTS:
        assert [token.lower() for token in made.raw(text)] == made.split(text)
        assert made.raw(text) != made.split(text)


@pytest.mark.parametrize("tokenizer", SENTENCE_TOKENIZERS)
def test_word_tokenizers_split_at_whitespace(tokenizer: str) -> None:
    tokens = WordUnit(language="en", tokenizer=tokenizer).split("two men run")
    assert tokens == ["two", "men", "run"]


def test_punctuation_is_separated_and_not_escaped() -> None:
    assert WordUnit(language="en").split('Don\'t ("run")!') == ["Don", "'t", "(", '"', "run", '"', ")", "!"]


def test_source_ids_are_truncated_and_end_with_eos() -> None:
    coder = make_coder("words")
    assert coder.source_ids("Two unseen men") == [*coder.encode("Two unseen men"), EOS_ID]
    assert coder.encode("Two unseen men")[1] == UNKNOWN_ID
    assert coder.source_ids("Two unseen men", 1) == [coder.encode("Two")[0], EOS_ID]
    assert coder.source_ids("") == [EOS_ID]


@pytest.mark.parametrize("unit", UNITS)
def test_saved_coder_can_be_restored(unit: str, tmp_path: Any) -> None:
    coder = make_coder(unit, lowercase=True)
    torch.save(coder.saved(), tmp_path / "coder.pt")
    again = SentenceCoder.from_saved(torch.load(tmp_path / "coder.pt", weights_only=True))
    for text in (*TEXTS, "Nobody waits"):
        assert again.encode(text) == coder.encode(text)
        assert again.text(again.tokens(again.encode(text))) == coder.text(coder.tokens(coder.encode(text)))
    assert again.saved() == coder.saved()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown unit 'bytes': expected one of words, subwords, chars"):
        make_unit("bytes", language="en", tokenizer="moses", lowercase=False, subwords=None)
    with pytest.raises(ValueError, match="unknown tokenizer 'spacy': expected one of moses, basic_english, whitespace"):
        make_unit("words", language="en", tokenizer="spacy", lowercase=False, subwords=None)
