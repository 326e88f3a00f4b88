"""Classification of texts with a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.collate import pad
from sluice.data.ragged import Ragged
from sluice.inference.predictor import Predictor
from sluice.models.classifier import TextClassifier
from sluice.plain import Plain
from sluice.text.tokenizers import Tokenizer
from sluice.text.truncation import kept_positions
from sluice.text.vocab import UNKNOWN, UNKNOWN_ID, Vocab

MAX_WORDS_SHOWN = 8
MAX_TEXT_SHOWN = 100


@dataclass(frozen=True)
class ClassPrediction:
    """The predicted class of a text."""

    text: str
    """The text."""
    label: str
    """Name of the predicted class."""
    probability: float
    """Probability of the predicted class."""
    probabilities: dict[str, float]
    """Class name to probability, for all classes."""
    unknown_words: int
    """Number of words of the text that are not in the vocabulary."""
    words: list[tuple[str, float]] | None
    """The words after truncation, each with its attention weight; None without attention pooling."""

    def as_dict(self) -> Plain:
        """All fields, in plain containers; without `words` if it is None."""
        found = {name: value for name, value in vars(self).items() if name != "words"}
        return found if self.words is None else {**found, "words": self.words}

    def columns(self) -> Plain:
        return {"prediction": self.label, "probability": self.probability}

    def lines(self) -> list[str]:
        """Class, probability and text; then the words with the largest attention weights and the unknown words."""
        found = [f"{self.label}  {self.probability:.3f}  {shortened(self.text)}"]
        if self.words is not None:
            largest = sorted(self.words, key=lambda pair: -pair[1])[:MAX_WORDS_SHOWN]
            found.append(
                "    largest attention weights: " + ", ".join(f"{word} {weight:.2f}" for word, weight in largest)
            )
        if self.unknown_words:
            found.append(f"    {self.unknown_words} unknown {'word' if self.unknown_words == 1 else 'words'}")
        return found


class Classifier(Predictor[str]):
    """Assigns classes to texts with a trained network, its vocabulary and its tokenizer."""

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
            network: the network, in evaluation mode.
            vocab: its vocabulary.
            labels: class names, in the order of the class ids.
            tokenize: splits a text into words.
            max_length: maximum number of words of a text; longer texts are truncated.
            truncation: which part of a longer text is kept, see `sluice.text.truncation`.
            padding: side on which a batch is padded, "left" or "right".
        """
        self.network, self.vocab, self.labels, self.tokenize = network, vocab, tuple(labels), tokenize
        self.max_length, self.truncation, self.padding = max_length, truncation, padding

    def item(self, texts: Sequence[str]) -> str:
        return texts[0]

    def predict(self, items: Sequence[str]) -> list[ClassPrediction]:
        """Predicts the class of each text; one without words is read as one unknown word, as in training.

        Args:
            items: the texts, run through the network as one batch.
        """
        tokens = [self.tokenize(text) or [UNKNOWN] for text in items]
        lengths = np.asarray([len(words) for words in tokens])
        encoded = [self.vocab.encode(words) for words in tokens]
        flat = np.asarray([index for ids in encoded for index in ids], dtype=np.int32)
        ragged = Ragged(flat, np.concatenate([[0], lengths.cumsum()]))
        ids, kept = pad(ragged, np.arange(len(items)), self.max_length, self.truncation, self.padding)
        with torch.inference_mode():
            logits, weights = self.network(ids, kept)
        positions, _ = kept_positions(lengths, self.max_length, self.truncation)
        return [
            ClassPrediction(
                text=text,
                label=self.labels[int(row.argmax())],
                probability=float(row.max()),
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
                unknown_words=encoded[i].count(UNKNOWN_ID),
                words=None if weights is None else _with_weights(words, positions[i][: kept[i]], weights[i]),
            )
            for i, (text, words, row) in enumerate(zip(items, tokens, logits.softmax(-1), strict=True))
        ]


def shortened(text: str) -> str:
    """The text on one line, cut to MAX_TEXT_SHOWN characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT_SHOWN else line[: MAX_TEXT_SHOWN - 1] + "…"


def _with_weights(words: list[str], positions: NDArray[np.int64], weights: Tensor) -> list[tuple[str, float]]:
    """The words at the given positions, each with its attention weight."""
    return [(words[position], float(weight)) for position, weight in zip(positions, weights, strict=False)]
