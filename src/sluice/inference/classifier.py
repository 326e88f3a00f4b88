"""Classes of single texts, with a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.collate import pad
from sluice.data.ragged import Ragged
from sluice.errors import UserError
from sluice.inference.predictor import TextPredictor
from sluice.models.classifier import TextClassifier
from sluice.plain import Plain
from sluice.text.tokenizers import Tokenizer
from sluice.text.truncation import kept_positions
from sluice.text.vocab import Vocab

WORDS_SHOWN = 8
TEXT_SHOWN = 100


@dataclass(frozen=True)
class ClassPrediction:
    """The class of a text."""

    text: str
    label: str
    probability: float
    probabilities: dict[str, float]
    """Of every class."""
    unknown_words: int
    """Words of the text that are not in the vocabulary."""
    words: list[tuple[str, float]] | None
    """The words that were read, each with its attention weight; None without attention pooling."""

    def as_dict(self) -> Plain:
        """In plain containers."""
        found = {name: value for name, value in vars(self).items() if name != "words"}
        return found if self.words is None else {**found, "words": self.words}

    def lines(self) -> list[str]:
        """Class, probability and text; the words with the largest attention weights."""
        found = [f"{self.label}  {self.probability:.3f}  {shortened(self.text)}"]
        if self.words is not None:
            most = sorted(self.words, key=lambda pair: -pair[1])[:WORDS_SHOWN]
            found.append("    weighed most: " + ", ".join(f"{word} {weight:.2f}" for word, weight in most))
        if self.unknown_words:
            found.append(f"    {self.unknown_words} unknown {'word' if self.unknown_words == 1 else 'words'}")
        return found


class Classifier(TextPredictor):
    """A trained network with its vocabulary, classes and tokenizer."""

    def __init__(
        self,
        *,
        network: TextClassifier,
        vocab: Vocab,
        labels: Sequence[str],
        tokenize: Tokenizer,
        max_length: int,
        truncation: str,
        padding: str,
    ) -> None:
        """
        Args:
            network: in evaluation mode.
            vocab: its words.
            labels: class names; the position is the class id.
            tokenize: from a text to its words.
            max_length: most tokens of a text that are read.
            truncation: which end of a longer text is kept, see `sluice.text.truncation`.
            padding: side on which a batch is padded, "left" or "right".
        """
        self.network, self.vocab, self.labels, self.tokenize = network, vocab, tuple(labels), tokenize
        self.max_length, self.truncation, self.padding = max_length, truncation, padding

    def predict(self, items: Sequence[str], first: int = 1) -> list[ClassPrediction]:
        """The class of each text.

        Args:
            items: the texts; all run through the network together.
            first: number of the first text, for the error.

        Raises:
            UserError: for a text without a word.
        """
        tokens = [self.tokenize(text) for text in items]
        for number, words in enumerate(tokens, start=first):
            if not words:
                raise UserError(f"text {number} is empty: there is no word in it to predict from")
        lengths = np.asarray([len(words) for words in tokens])
        flat = np.asarray([index for words in tokens for index in self.vocab.encode(words)], dtype=np.int32)
        ragged = Ragged(flat, np.concatenate([[0], lengths.cumsum()]))
        ids, kept = pad(ragged, np.arange(len(items)), self.max_length, self.truncation, self.padding)
        with torch.inference_mode():
            logits, weights = self.network(ids, kept)
        places, _ = kept_positions(lengths, self.max_length, self.truncation)
        return [
            ClassPrediction(
                text=text,
                label=self.labels[int(row.argmax())],
                probability=float(row.max()),
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
                unknown_words=sum(word not in self.vocab for word in words),
                words=None if weights is None else _weighed(words, places[i][: kept[i]], weights[i]),
            )
            for i, (text, words, row) in enumerate(zip(items, tokens, logits.softmax(-1), strict=True))
        ]


def shortened(text: str) -> str:
    """A text in one line of at most TEXT_SHOWN characters."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_SHOWN else line[: TEXT_SHOWN - 1] + "…"


def _weighed(words: list[str], places: NDArray[np.int64], weights: Tensor) -> list[tuple[str, float]]:
    """The words kept of a text, each with its attention weight."""
    return [(words[place], float(weight)) for place, weight in zip(places, weights, strict=False)]
