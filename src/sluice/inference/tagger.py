"""Tagging of the words of sentences with a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sluice.inference.predictor import Predictor
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.plain import Plain
from sluice.text.tag_spans import spans_of
from sluice.text.tokenizers import Tokenizer
from sluice.text.vocab import PADDING_ID, Vocab


@dataclass(frozen=True)
class TagPrediction:
    """The predicted tags of a sentence."""

    words: list[str]
    tags: list[str]
    """The predicted tag of each word."""
    probabilities: list[float]
    """The probability of each predicted tag."""
    spans: list[Plain] | None
    """The spans of the tags in order, each with the keys "type", "start" and "end" (index of its first word, and of the
    word after its last one) and "text" (its words separated by blanks); None if the tags do not mark spans."""

    def as_dict(self) -> Plain:
        """All fields, in plain containers; without `spans` if it is None."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def columns(self) -> Plain:
        """The tags, separated by blanks."""
        return {"prediction": " ".join(self.tags)}

    def lines(self) -> list[str]:
        """One line with "word/tag" for each word, empty for a sentence without words."""
        return [" ".join(f"{word}/{tag}" for word, tag in zip(self.words, self.tags, strict=True))]


class Tagger(Predictor[str]):
    """Assigns a tag to each word of a sentence with a trained network and its vocabulary."""

    description = "tags words"
    columns = ("prediction",)
    answers_blank = True

    def __init__(
        self,
        *,
        network: SequenceLabeller,
        vocab: Vocab,
        tags: Sequence[str],
        scheme: str | None = None,
        tokenize: Tokenizer = str.split,
    ) -> None:
        """
        Args:
            network: the network, in evaluation mode.
            vocab: its vocabulary.
            tags: tags, in the order of the class ids.
            scheme: scheme of the tags, see `sluice.text.tag_spans.SCHEMES`; None if they do not mark spans.
            tokenize: splits a text into words; by default at white space.
        """
        self.tokenize = tokenize
        self.network, self.vocab, self.tags, self.scheme = network, vocab, tuple(tags), scheme

    def item(self, texts: Sequence[str]) -> str:
        return texts[0]

    def predict(self, items: Sequence[str | Sequence[str]]) -> list[TagPrediction]:
        """Predicts the tags of each sentence.

        Args:
            items: the sentences, run through the network as one batch: the words of each, or a text. The words must be
                tokens as in the training sentences: "hurry ." for "hurry." if punctuation was separate there.
        """
        sentences = [self.tokenize(item) if isinstance(item, str) else list(item) for item in items]
        lengths = torch.tensor([len(words) for words in sentences if words], dtype=torch.int64)
        if not len(lengths):
            return [TagPrediction([], [], [], None if self.scheme is None else []) for _ in sentences]
        inputs = torch.full((len(lengths), int(lengths.max())), PADDING_ID)
        for row, words in enumerate(filter(None, sentences)):
            inputs[row, : len(words)] = torch.tensor(self.vocab.encode(words))
        with torch.inference_mode():
            best = self.network(inputs, lengths).outputs.softmax(-1).max(-1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [self._prediction(words, *(next(rows) if words else ([], []))) for words in sentences]

    def _prediction(self, words: list[str], ids: list[int], probabilities: list[float]) -> TagPrediction:
        tags = [self.tags[index] for index in ids[: len(words)]]
        spans: list[Plain] | None = None
        if self.scheme is not None:
            spans = [
                {"type": kind, "start": start, "end": end, "text": " ".join(words[start:end])}
                for kind, start, end in sorted(spans_of(tags, self.scheme), key=lambda span: span.start)
            ]
        return TagPrediction(words, tags, probabilities[: len(words)], spans)
