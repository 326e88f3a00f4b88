"""SubwordModel: learning, serialisation, lossless segmentation."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import UserError
from sluice.options import SUBWORDS
from sluice.text.units import SubwordModel

TEXTS = ["the cat sat on the mat", "a dog ate the cat food", "dogs and cats eat on mats", "the cat and the dog"] * 5
LEARNED = {kind: SubwordModel.learn(TEXTS, size=40, kind=kind) for kind in SUBWORDS}
KINDS = pytest.mark.parametrize("kind", SUBWORDS)
SENTENCES = st.lists(st.text("abcdeghmnost", min_size=1), min_size=1).map(" ".join)


@KINDS
@given(text=SENTENCES)
def test_roundtrip(kind: str, text: str) -> None:
    assert LEARNED[kind].decode(LEARNED[kind].encode(text)) == text


@KINDS
def test_unseen_characters_are_kept(kind: str) -> None:
    assert LEARNED[kind].decode(LEARNED[kind].encode("the Żubr sat")) == "the Żubr sat"


@KINDS
def test_learning_is_deterministic(kind: str) -> None:
    assert SubwordModel.learn(iter(TEXTS), size=40, kind=kind).model == LEARNED[kind].model


@KINDS
def test_model_bytes_and_pickle_restore_the_model(kind: str) -> None:
    for again in (SubwordModel(LEARNED[kind].model), pickle.loads(pickle.dumps(LEARNED[kind]))):
        assert again.encode(TEXTS[0]) == LEARNED[kind].encode(TEXTS[0])


def test_frequent_words_are_single_pieces() -> None:
    assert LEARNED["bpe"].encode("the cat") == ["▁the", "▁cat"]
    assert len(LEARNED["bpe"].encode("cast")) > 1
    assert len(LEARNED["bpe"]) <= 40


@KINDS
def test_size_is_a_maximum(kind: str) -> None:
    assert len(SubwordModel.learn(TEXTS, size=5000, kind=kind)) < 200


def test_size_below_the_number_of_characters_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"subword_size=5 is too small: the training texts have 13 different characters"
    ):
        SubwordModel.learn(TEXTS, size=5)


def test_empty_texts_are_refused() -> None:
    with pytest.raises(UserError, match="all training texts are empty"):
        SubwordModel.learn(["", "  "], size=50)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of subwords 'wordpiece': expected one of bpe, unigram"):
        SubwordModel.learn(TEXTS, size=50, kind="wordpiece")
