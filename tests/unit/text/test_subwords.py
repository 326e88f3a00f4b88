"""SubwordModel: learned on the spot, kept as bytes, and nothing of a text is lost."""

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
def test_joined_pieces_give_the_text_back(kind: str, text: str) -> None:
    assert LEARNED[kind].decode(LEARNED[kind].encode(text)) == text


@KINDS
def test_characters_never_seen_survive(kind: str) -> None:
    assert LEARNED[kind].decode(LEARNED[kind].encode("the Żubr sat")) == "the Żubr sat"


@KINDS
def test_the_same_texts_give_the_same_model(kind: str) -> None:
    assert SubwordModel.learn(iter(TEXTS), size=40, kind=kind).model == LEARNED[kind].model


@KINDS
def test_the_bytes_are_all_there_is(kind: str) -> None:
    for again in (SubwordModel(LEARNED[kind].model), pickle.loads(pickle.dumps(LEARNED[kind]))):
        assert again.encode(TEXTS[0]) == LEARNED[kind].encode(TEXTS[0])


def test_frequent_words_are_pieces_of_their_own() -> None:
    assert LEARNED["bpe"].encode("the cat") == ["▁the", "▁cat"]
    assert len(LEARNED["bpe"].encode("cast")) > 1
    assert len(LEARNED["bpe"]) <= 40


@KINDS
def test_texts_with_fewer_pieces_than_wanted(kind: str) -> None:
    assert len(SubwordModel.learn(TEXTS, size=5000, kind=kind)) < 200


def test_fewer_pieces_than_characters() -> None:
    with pytest.raises(
        UserError, match=r"subword_size=5 is too small: the training texts have 13 different characters"
    ):
        SubwordModel.learn(TEXTS, size=5)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(UserError, match="without a text"):
        SubwordModel.learn(["", "  "], size=50)


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="no subwords 'wordpiece'; there are bpe, unigram"):
        SubwordModel.learn(TEXTS, size=50, kind="wordpiece")
