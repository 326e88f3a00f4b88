"""SubwordModel: learning, serialisation, lossless segmentation."""

import io
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from sluice.errors import UserError
from sluice.options import SUBWORDS
from sluice.text.units import SubwordModel

TEXTS = ["the cat sat on the mat", "a dog ate the cat food", "dogs and cats eat on mats", "the cat and the dog"] * 5
LEARNED = {kind: SubwordModel.learn(TEXTS, size=300, kind=kind) for kind in SUBWORDS}
KINDS = pytest.mark.parametrize("kind", SUBWORDS)
CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("catdogs ▁▅\t…½²™ﬁ№\u0301\xa0\u2028\r<0xE2>")


@KINDS
@given(text=st.text(CHARACTERS))
def test_any_line_is_restored(kind: str, text: str) -> None:
    pieces = LEARNED[kind].encode(text)
    assert set(pieces) <= set(LEARNED[kind].pieces)
    assert LEARNED[kind].decode(pieces) == text.strip()


@KINDS
@pytest.mark.parametrize(
    "text", ["two  blanks", "1½ … 3² ™ ﬁ № ｗ", "e\u0301 é", "a\tb\xa0c", "😀👍🏽", "▁a▁▁ b▁", "<0xE2><s>"]
)
def test_unusual_characters_are_restored(kind: str, text: str) -> None:
    seen = SubwordModel.learn([text], size=300, kind=kind)
    for model in (seen, LEARNED[kind]):
        assert model.decode(model.encode(text)) == text


@KINDS
def test_lines_of_any_length_are_learned(kind: str) -> None:
    words = [f"word{number}" for number in range(3_000)]
    model = SubwordModel.learn([" ".join(words)], size=300, kind=kind)
    assert "▁word" in model.pieces
    assert model.decode(model.encode(" ".join(words))) == " ".join(words)


def test_rare_characters_become_bytes_but_blanks_do_not() -> None:
    model = SubwordModel.learn(["词" * 20_000 + "é"], size=300)
    assert "é" not in model.pieces
    assert model.encode("é") == ["▁", "<0xC3>", "<0xA9>"]


def test_invalid_bytes_and_other_tokens_are_decoded() -> None:
    model = LEARNED["bpe"]
    assert model.decode(["▁the", "<0xC3>", "▁cat"]) == "the\ufffd cat"
    assert model.decode(["▁the", "<unk>", "\ud800"]) == "the<unk>?"
    assert model.decode(model.encode("a\ud800")) == "a?"
    assert model.encode(" \t") == []


@KINDS
def test_models_of_earlier_versions_are_used_as_then(kind: str) -> None:
    stored = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=stored, vocab_size=40, model_type=kind, hard_vocab_limit=False
    )
    model, stock = SubwordModel(stored.getvalue()), SentencePieceProcessor(model_proto=stored.getvalue())
    for text in ("the cat  sat", "the Żubr ½ ▁", " <0xE2> "):
        assert model.encode(text) == stock.encode(text, out_type=str)
    assert model.decode(model.encode("the Żubr ½▁cat")) == "the Żubr 1⁄2 cat"
    assert model.decode(["▁the", "<0xE2>"]) == "the<0xE2>"


@KINDS
def test_learning_is_deterministic(kind: str) -> None:
    assert SubwordModel.learn(iter(TEXTS), size=300, kind=kind).model == LEARNED[kind].model


@KINDS
def test_model_bytes_and_pickle_restore_the_model(kind: str) -> None:
    for again in (SubwordModel(LEARNED[kind].model), pickle.loads(pickle.dumps(LEARNED[kind]))):
        assert again.encode(TEXTS[0]) == LEARNED[kind].encode(TEXTS[0])


def test_frequent_words_are_single_pieces() -> None:
    assert LEARNED["bpe"].encode("the cat") == ["▁the", "▁cat"]
    assert len(LEARNED["bpe"].encode("cast")) > 1
    assert len(LEARNED["bpe"]) <= 300


@KINDS
def test_size_is_a_maximum(kind: str) -> None:
    assert len(SubwordModel.learn(TEXTS, size=5000, kind=kind)) < 450


@KINDS
def test_too_small_a_size_is_refused(kind: str) -> None:
    expected = (
        r"task\.text\.subword_size=270 is too small by 2: 13 characters of the training texts, 256 bytes and 3 special "
        r"tokens are subwords; set it to at least 272"
    )
    with pytest.raises(UserError, match=expected):
        SubwordModel.learn(TEXTS, size=270, kind=kind)
    assert len(SubwordModel.learn(TEXTS, size=272, kind=kind)) == 272


def test_empty_texts_are_refused() -> None:
    with pytest.raises(UserError, match="all training texts are empty"):
        SubwordModel.learn(["", "  ", "▁"], size=300)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of subwords 'wordpiece': expected one of bpe, unigram"):
        SubwordModel.learn(TEXTS, size=50, kind="wordpiece")
