"""Classification of pairs of texts with a trained network, with the contribution of each word."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.collate import TextPairCollator
from sluice.data.corpus import TextPair
from sluice.data.pair_encoding import NO_WORDS, CharNgramSettings, encode_text_pairs, new_table, word_ngrams
from sluice.inference.classifier import shortened
from sluice.inference.inputs import batches_by_length
from sluice.inference.predictor import BATCH_SIZE, Predictor
from sluice.inference.trace import array_of
from sluice.models.pair_classifier import PairClassifier as PairNetwork
from sluice.models.pair_classifier import PairClassifierOutput
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


class PairClassifier(Predictor[Pair]):
    """Assigns classes to pairs of texts with a trained network and its tokenizer.

    Example:
        >>> from sluice.inference.examples import pair_classifier
        >>> model = pair_classifier()  # untrained
        >>> model.predict([("red shoe", "shoe, red"), ("red shoe", "blue hat")])[0].label
        'different'
    """

    fields = ("first", "second")
    network: PairNetwork

    def __init__(
        self,
        *,
        network: PairNetwork,
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
        self.network, self._labels, self.tokenize, self.settings = network, tuple(labels), tokenize, settings
        self.max_length, self.truncation = max_length, truncation

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the class ids."""
        return self._labels

    def item(self, texts: Sequence[str]) -> Pair:
        return texts[0], texts[1]

    def predict(self, items: Iterable[Pair], *, batch_size: int = BATCH_SIZE) -> list[PairPrediction]:
        """Predicts the class of each pair; a text without words has the vector of an empty word, as in training.

        Args:
            items: any number of pairs of texts, sorted by length into batches.
            batch_size: number of pairs run through the network together.

        Raises:
            TypeError: for anything but pairs of strings.

        Example:
            >>> from sluice.inference.examples import pair_classifier
            >>> [prediction] = pair_classifier().predict([("red shoe", "shoe, red")])
            >>> sorted(prediction.probabilities)
            ['different', 'same']
        """
        pairs = _list_of_pairs(items)
        found: dict[int, PairPrediction] = {}
        for indices in self._batches(pairs, batch_size):
            found |= zip(indices, self._predict_batch([pairs[index] for index in indices]), strict=True)
        return [found[index] for index in range(len(pairs))]

    def predict_proba(self, pairs: Iterable[Pair], *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Returns the probability of each class, (N, classes), columns in the order of `labels`.

        Args:
            pairs: as in `predict`.
            batch_size: as in `predict`.

        Raises:
            TypeError: as `predict`.

        Example:
            >>> from sluice.inference.examples import pair_classifier
            >>> pair_classifier().predict_proba([("red shoe", "shoe, red"), ("red", "blue")]).shape
            (2, 2)
        """
        given = _list_of_pairs(pairs)
        found = np.zeros((len(given), len(self.labels)), dtype=np.float32)
        for indices in self._batches(given, batch_size):
            output, _ = self._run([given[index] for index in indices])
            found[indices] = array_of(output.logits.float().softmax(-1))
        return found

    def _batches(self, pairs: list[Pair], batch_size: int) -> Iterator[list[int]]:
        return batches_by_length([max(map(len, pair)) for pair in pairs], batch_size)

    def _run(self, pairs: list[Pair]) -> tuple[PairClassifierOutput, NDArray[np.int64]]:
        """Returns the network's output for a batch, and the (2 B,) lengths of its texts before truncation."""
        table = new_table()
        split = encode_text_pairs((TextPair(*pair, label=0) for pair in pairs), self.tokenize, table)
        ngrams = word_ngrams(list(table), self.settings)
        make = TextPairCollator(split, ngrams, max_length=self.max_length, truncation=self.truncation)
        batch = make(range(len(pairs))).to(self.device)
        with torch.inference_mode():
            return self.network(batch.ngrams, batch.offsets, batch.word_index, batch.lengths), split.texts.lengths

    def _predict_batch(self, pairs: list[Pair]) -> list[PairPrediction]:
        paired, lengths = self._run(pairs)
        positions, kept = kept_positions(lengths, self.max_length, self.truncation)
        tokens = [self.tokenize(text) or [NO_WORDS[0]] for side in zip(*pairs, strict=True) for text in side]
        words = [[text[i] for i in row[:length]] for text, row, length in zip(tokens, positions, kept, strict=True)]
        contributions, weights = torch.cat(paired.margin_contributions().chunk(2, 1)).cpu(), paired.weights.cpu()
        return [
            PairPrediction(
                first=pair[0],
                second=pair[1],
                label=self.labels[int(row.argmax())],
                probability=float(row.max()),
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
                words=_ranked(words, contributions, weights, number, number + len(pairs)),
            )
            for number, (pair, row) in enumerate(zip(pairs, paired.logits.float().softmax(-1).cpu(), strict=True))
        ]


def _list_of_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """Returns pairs as a list.

    Raises:
        TypeError: for a single string, or an item that is not a pair of strings.
    """
    found: list[Pair] = []
    for pair in [pairs] if isinstance(pairs, str) else pairs:
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise TypeError(f"expected a list of pairs of texts, got {pair!r:.60}: give [('one', 'another'), ...]")
        found.append((pair[0], pair[1]))
    return found


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
