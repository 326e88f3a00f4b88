"""BPE-dropout: byte-pair encoding without dropout, characters with all merges left out, the same text in between."""

import random

import pytest

from sluice.text.bpe_dropout import BPEDropout
from sluice.text.coder import BOS_ID, EOS_ID, SentenceVocab
from sluice.text.units import SubwordModel

TEXTS = [
    "the old man and the older woman walk, the oldest rests.",
    "a mannequin walked in the woods; 12 men (and 3 women) rest there",
    "walking women rested 345 times... the man's name: Emanuel!",
]
OTHERS = ["a café in Łódź, they rest", "der <eos> in einem <unk> text", "x  y ▁ z", "<0xC3> and <pad>", ""]
MODEL = SubwordModel.learn(TEXTS, size=340)
VOCAB = SentenceVocab.of_subwords(MODEL)


def ids_of(text: str) -> list[int]:
    return VOCAB.encode(MODEL.encode(text))


@pytest.mark.parametrize("text", TEXTS + OTHERS)
def test_without_dropout_it_is_byte_pair_encoding(text: str) -> None:
    ids = ids_of(text)
    assert BPEDropout(VOCAB.tokens, 0.0).segment(ids, random.Random(0)) == ids


@pytest.mark.parametrize("text", TEXTS)
def test_without_merges_words_are_characters(text: str) -> None:
    pieces = VOCAB.decode(BPEDropout(VOCAB.tokens, 1.0).segment(ids_of(text), random.Random(0)))
    assert pieces == list("▁" + text.replace(" ", "▁"))


@pytest.mark.parametrize("text", TEXTS + OTHERS)
def test_every_segmentation_is_of_the_same_text(text: str) -> None:
    ids, source = ids_of(text), random.Random(1)
    found = [BPEDropout(VOCAB.tokens, 0.3).segment(ids, source) for _ in range(20)]
    assert {MODEL.decode(VOCAB.decode(pieces)) for pieces in found} == {MODEL.decode(VOCAB.decode(ids))}


def test_merges_are_left_out_with_the_probability() -> None:
    dropout, source = BPEDropout(["▁", "a", "▁a"], 0.3), random.Random(0)
    lengths = [len(dropout.segment([2], source)) for _ in range(20_000)]
    assert sum(lengths) / len(lengths) == pytest.approx(1.3, abs=0.02)


def test_earlier_merges_come_first() -> None:
    tokens = ["ab", "bc", "abc", "a", "b", "c"]
    assert BPEDropout(tokens, 0.0).segment([3, 4, 5], random.Random(0)) == [2]
    assert BPEDropout(["bc", "ab", "a", "b", "c"], 0.0).segment([2, 3, 4], random.Random(0)) == [2, 0]


def test_marks_and_bytes_stay_whole() -> None:
    accented = ids_of("the é")
    ids = [BOS_ID, *accented, EOS_ID]
    made = BPEDropout(VOCAB.tokens, 1.0).segment(ids, random.Random(0))
    assert (made[0], made[-1]) == (BOS_ID, EOS_ID)
    assert made[-3:-1] == accented[-2:]
