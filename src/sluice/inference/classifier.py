"""Classification of texts with a trained network."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sluice.data.collate import pad
from sluice.data.ragged import Ragged
from sluice.inference.hidden_states import record_hidden_states
from sluice.inference.inputs import batches_by_length, list_of_texts
from sluice.inference.predictor import BATCH_SIZE, Predictor
from sluice.inference.trace import Trace, TracedStates, array_of, most_probable, require_tokens
from sluice.layers.pooling import LastPooling
from sluice.models.classifier import TextClassifier
from sluice.plain import Plain
from sluice.text.tokenizers import Tokenizer
from sluice.text.truncation import kept_positions
from sluice.text.vocab import UNKNOWN, UNKNOWN_ID, Vocab

if TYPE_CHECKING:
    from sluice.data.classification import ClassificationData

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


class _Classified(NamedTuple):
    """The result of a batch of B texts."""

    indices: list[int]
    """Indices of the texts."""
    probabilities: NDArray[np.float32]
    """(B, classes)."""
    weights: NDArray[np.float32] | None
    """(B, T) attention weights."""


class Classifier(Predictor[str]):
    """Assigns classes to texts with a trained network, its vocabulary and its tokenizer.

    Example:
        >>> from sluice.inference.examples import classifier
        >>> model = classifier()  # untrained; a trained one: sluice.load("outputs/imdb/lstm/mine")
        >>> model.labels
        ('neg', 'pos')
        >>> [prediction.label for prediction in model.predict(["The film was good.", "Bad."])]
        ['pos', 'pos']
    """

    network: TextClassifier

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
        self.network, self.vocab, self._labels, self.tokenize = network, vocab, tuple(labels), tokenize
        self.max_length, self.truncation, self.padding = max_length, truncation, padding

    @classmethod
    def for_data(cls, network: TextClassifier, data: "ClassificationData") -> "Classifier":
        """Returns the classifier of a network that was trained on a DataModule.

        Args:
            network: the network; set to evaluation mode.
            data: the DataModule, for vocabulary, labels, tokenizer and truncation.

        Example:
            >>> from sluice.data import ClassificationData, LabelledTexts
            >>> from sluice.inference.examples import classifier
            >>> rows = [(f"film {i} was {word}", word) for i in range(9) for word in ("good", "bad")]
            >>> data = ClassificationData(corpus=LabelledTexts(rows))
            >>> Classifier.for_data(classifier().network, data).labels
            ('bad', 'good')
        """
        prepared = data.prepared
        return cls(
            network=network.eval(),
            vocab=prepared.vocab,
            labels=prepared.labels,
            tokenize=data.settings.tokens.make(prepared.subword_model),
            max_length=data.max_length,
            truncation=data.truncation,
            padding=data.padding,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the class ids."""
        return self._labels

    def item(self, texts: Sequence[str]) -> str:
        return texts[0]

    def predict(self, items: Iterable[str], *, batch_size: int = BATCH_SIZE) -> list[ClassPrediction]:
        """Predicts the class of each text; one without words is read as one unknown word, as in training.

        Args:
            items: any number of texts, sorted by length into batches.
            batch_size: number of texts run through the network together.

        Raises:
            TypeError: for a single string instead of a list.

        Example:
            >>> from sluice.inference.examples import classifier
            >>> [prediction] = classifier().predict(["The film was fun."])
            >>> prediction.label, round(prediction.probability, 2), prediction.unknown_words
            ('pos', 0.62, 1)
        """
        texts = list_of_texts(items)
        tokens = self._tokens(texts)
        found: dict[int, ClassPrediction] = {}
        for batch in self._classified(tokens, batch_size):
            for row, index in enumerate(batch.indices):
                weights = None if batch.weights is None else batch.weights[row]
                found[index] = self._prediction(texts[index], tokens[index], batch.probabilities[row], weights)
        return [found[index] for index in range(len(texts))]

    def predict_proba(self, texts: Iterable[str], *, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Returns the probability of each class, (N, classes), columns in the order of `labels`.

        Args:
            texts: as in `predict`.
            batch_size: as in `predict`.

        Raises:
            TypeError: as `predict`.

        Example:
            >>> from sluice.inference.examples import classifier
            >>> classifier().predict_proba(["The film was good.", "Bad."]).round(2)
            array([[0.36, 0.64],
                   [0.34, 0.66]], dtype=float32)
        """
        tokens = self._tokens(list_of_texts(texts))
        found = np.zeros((len(tokens), len(self.labels)), dtype=np.float32)
        for batch in self._classified(tokens, batch_size):
            found[batch.indices] = batch.probabilities
        return found

    @torch.inference_mode()
    def trace(self, text: str, *, layer: int | None = None, backward: bool = False) -> Trace:
        """Records states and gates at each word of a text, after truncation.

        Args:
            text: the text.
            layer: layer number, 1 is the lowest; None for the top layer.
            backward: record the backward direction of a bidirectional network.

        Raises:
            UserError: if the text has no words, or the layer or direction does not exist.

        Example:
            >>> from sluice.inference.examples import classifier
            >>> trace = classifier().trace("The film was good.")
            >>> trace.states["cell"].shape, trace.gates["forget"].shape, len(trace.predictions)
            ((5, 8), (5, 8), 5)
        """
        network = self.network
        words = require_tokens(self.tokenize(text))
        positions, _ = kept_positions(np.asarray([len(words)]), self.max_length, self.truncation)
        kept = [words[position] for position in positions[0]]
        ids = self.vocab.encode(kept)
        words_read, length = torch.tensor([ids], device=self.device), torch.tensor([len(kept)])
        features = network.embed(words_read)
        hidden = record_hidden_states(
            network.recurrent, features, layer=layer, backward=backward, segment_length=network.segment_length
        )
        classified = network.add_ngrams(network.classify(features, length), words_read, length)
        return Trace(
            kept,
            [index != UNKNOWN_ID for index in ids],
            *TracedStates.of(hidden),
            predictions=most_probable(network.output(hidden.top), self.labels) if self._predicts_at_every_step else [],
            prediction=most_probable(classified.logits, self.labels)[0],
            weights=None if classified.weights is None else array_of(classified.weights[0]),
            length=len(words),
            kept=len(kept),
        )

    @property
    def _predicts_at_every_step(self) -> bool:
        """Whether the output layer applied to any step's state gives the prediction for the text up to this step."""
        network = self.network
        return isinstance(network.pooling, LastPooling) and network.recurrent.directions == 1 and network.ngrams is None

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        return [self.tokenize(text) or [UNKNOWN] for text in texts]

    def _classified(self, tokens: list[list[str]], batch_size: int) -> Iterator[_Classified]:
        lengths = [min(len(words), self.max_length) for words in tokens]
        for indices in batches_by_length(lengths, batch_size):
            encoded = Ragged.from_rows(self.vocab.encode(tokens[index]) for index in indices)
            ids, kept = pad(encoded, np.arange(len(indices)), self.max_length, self.truncation, self.padding)
            with torch.inference_mode():
                logits, weights = self.network(ids.to(self.device), kept)
            probabilities = array_of(logits.float().softmax(-1))
            yield _Classified(indices, probabilities, None if weights is None else array_of(weights))

    def _prediction(
        self, text: str, words: list[str], row: NDArray[np.float32], weights: NDArray[np.float32] | None
    ) -> ClassPrediction:
        if weights is not None:
            positions, kept = kept_positions(np.asarray([len(words)]), self.max_length, self.truncation)
            words_kept = [words[position] for position in positions[0][: kept[0]]]
        return ClassPrediction(
            text=text,
            label=self.labels[int(row.argmax())],
            probability=float(row.max()),
            probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
            unknown_words=self.vocab.encode(words).count(UNKNOWN_ID),
            words=None if weights is None else list(zip(words_kept, weights.tolist(), strict=False)),
        )

    def _words(self) -> list[str]:
        return self.vocab.tokens


def shortened(text: str) -> str:
    """The text on one line, cut to MAX_TEXT_SHOWN characters."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT_SHOWN else line[: MAX_TEXT_SHOWN - 1] + "…"
