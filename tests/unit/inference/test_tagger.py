"""Tagger: words as a list or in a text, batches, and spans."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sluice.inference.tagger import Tagger
from sluice.layers.embedding import make_embedding
from sluice.models.sequence_labeller import SequenceLabeller, SequenceLabellerOutput
from sluice.recurrent import RecurrentStack
from sluice.text.vocab import PADDING_ID, SPECIALS, Vocab

TAGS = ("O", "B-geo-loc", "I-geo-loc")


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    torch.manual_seed(1)
    vocab = Vocab([*SPECIALS, "in", "New", "York", "today"])
    words = make_embedding("learned", vocab_size=len(vocab), size=8, padding_id=PADDING_ID, word_dropout=0.0)
    stack = RecurrentStack(cell="gru", input_size=8, hidden_size=8, bidirectional=True)
    network = SequenceLabeller(embedding=words, recurrent=stack, num_outputs=len(TAGS)).eval()
    return Tagger(network=network, vocab=vocab, tags=TAGS, scheme="iob2")


def test_sentence_alone_equals_itself_in_a_batch(tagger: Tagger) -> None:
    sentences = ["in New York today", "", "York", "unseen words \u3000 in  York", " "]
    together = tagger.predict(sentences)
    for text, prediction in zip(sentences, together, strict=True):
        (alone,) = tagger.predict([text])
        (listed,) = tagger.predict([text.split()])
        assert alone == listed
        assert alone.tags == prediction.tags
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-6)
        assert prediction.words == text.split()
        assert len(prediction.tags) == len(prediction.words)


def test_words_may_contain_blanks(tagger: Tagger) -> None:
    (prediction,) = tagger.predict([["in", "New York"]])
    assert prediction.words == ["in", "New York"]


class OneTagPerWord(nn.Module):
    """Tags each word with the class of its id."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> SequenceLabellerOutput:
        return SequenceLabellerOutput(torch.eye(len(TAGS))[(inputs - len(SPECIALS)).clamp(0, 2)], None)


@pytest.mark.parametrize("scheme", ["iob2", None])
def test_spans_are_those_of_the_tags(scheme: str | None) -> None:
    network: Any = OneTagPerWord()
    tagger = Tagger(network=network, vocab=Vocab([*SPECIALS, "in", "New", "York"]), tags=TAGS, scheme=scheme)
    (prediction,) = tagger.predict(["in New York"])
    assert prediction.lines() == ["in/O New/B-geo-loc York/I-geo-loc"]
    spans = [{"type": "geo-loc", "start": 1, "end": 3, "text": "New York"}]
    assert prediction.as_dict().get("spans") == (spans if scheme else None)
