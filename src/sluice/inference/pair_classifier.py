"""Classification of pairs of texts with a trained network, with the contribution of each word."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sluice.data.collate import TextPairCollator
from sluice.data.corpus import TextPair
from sluice.data.pair_encoding import NO_WORDS, CharNgramSettings, encode_text_pairs, new_table, word_ngrams
from sluice.inference.classifier import shortened
from sluice.inference.predictor import Predictor
from sluice.models.pair_classifier import PairClassifier, PairClassifierOutput
from sluice.plain import Plain
from sluice.text.tokenizers import Tokenizer
from sluice.text.truncation import kept_positions

MAX_WORDS_SHOWN = 4

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairPrediction:
    """The predicted class of a pair of texts."""

    first: str
    """The first text."""
    second: str
    """The second text."""
    label: str
    """Name of the predicted class."""
    probability: float
    """Probability of the predicted class."""
    probabilities: dict[str, float]
    """Class name to probability, for all classes."""
    words: list[Plain]
    """The words of both texts, sorted by decreasing contribution, each with the keys "text" (1 or 2), "word",
    "contribution" (to the logit of the predicted class, minus the mean over the other classes) and "aligned_word" (the
    word of the other text with the largest attention weight)."""

    def as_dict(self) -> Plain:
        """All fields, in plain containers."""
        return dict(vars(self))

    def columns(self) -> Plain:
        return {"prediction": self.label, "probability": self.probability}

    def lines(self) -> list[str]:
        """Class, probability and texts; then the words with the largest contributions."""
        found = [f"{self.label}  {self.probability:.3f}  {shortened(f'{self.first} | {self.second}')}"]
        largest = ", ".join(
            f"{word['word']} {word['contribution']:+.2f} (text {word['text']}, aligned with {word['aligned_word']})"
            for word in self.words[:MAX_WORDS_SHOWN]
            if word["contribution"] > 0
        )
        return [*found, f"    largest contributions: {largest}"] if largest else found


class PairPredictor(Predictor[Pair]):
    """Assigns classes to pairs of texts with a trained network and its tokenizer."""

    fields = ("first", "second")

    def __init__(
        self,
        *,
        network: PairClassifier,
        labels: Sequence[str],
        tokenize: Tokenizer,
        settings: CharNgramSettings,
        max_length: int,
        truncation: str,
    ) -> None:
        """
        Args:
            network: the network, in evaluation mode.
            labels: class names, in the order of the class ids.
            tokenize: splits a text into words.
            settings: character n-grams of words.
            max_length: maximum number of words of a text; longer texts are truncated.
            truncation: which part of a longer text is kept, see `sluice.text.truncation`.
        """
        self.network, self.labels, self.tokenize, self.settings = network, tuple(labels), tokenize, settings
        self.max_length, self.truncation = max_length, truncation

    def item(self, texts: Sequence[str]) -> Pair:
        return texts[0], texts[1]

    def predict(self, items: Sequence[Pair]) -> list[PairPrediction]:
        """Predicts the class of each pair; a text without words has the vector of an empty word, as in training.

        Args:
            items: the pairs, run through the network as one batch.
        """
        table = new_table()
        split = encode_text_pairs((TextPair(*pair, label=0) for pair in items), self.tokenize, table)
        ngrams = word_ngrams(list(table), self.settings)
        make = TextPairCollator(split, ngrams, max_length=self.max_length, truncation=self.truncation)
        batch = make(range(len(items)))
        with torch.inference_mode():
            paired: PairClassifierOutput = self.network(batch.ngrams, batch.offsets, batch.word_index, batch.lengths)
        positions, kept = kept_positions(split.texts.lengths, self.max_length, self.truncation)
        tokens = [self.tokenize(text) or [NO_WORDS[0]] for side in zip(*items, strict=True) for text in side]
        words = [[text[i] for i in row[:length]] for text, row, length in zip(tokens, positions, kept, strict=True)]
        contributions = torch.cat(paired.margin_contributions().chunk(2, 1))
        return [
            PairPrediction(
                first=pair[0],
                second=pair[1],
                label=self.labels[int(row.argmax())],
                probability=float(row.max()),
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
                words=_ranked(words, contributions, paired.weights, number, number + len(items)),
            )
            for number, (pair, row) in enumerate(zip(items, paired.logits.softmax(-1), strict=True))
        ]


def _ranked(words: list[list[str]], contributions: Tensor, weights: Tensor, first: int, second: int) -> list[Plain]:
    """The words of a pair's two texts, sorted by decreasing contribution.

    Args:
        words: of all texts of the batch.
        contributions: (2 B, T), see `PairClassifierOutput.margin_contributions`.
        weights: (2 B, T, T) attention weights.
        first: row of the pair's first text.
        second: row of its second text.
    """
    found = [
        {
            "text": text,
            "word": word,
            "contribution": float(contributions[row, position]),
            "aligned_word": words[other][int(weights[row, position].argmax())],
        }
        for text, row, other in ((1, first, second), (2, second, first))
        for position, word in enumerate(words[row])
    ]
    return sorted(found, key=lambda word: -float(str(word["contribution"])))
