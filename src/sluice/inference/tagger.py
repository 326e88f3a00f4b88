"""Tagging of the words of sentences with a trained network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from sluice.errors import UserError
from sluice.inference.hidden_states import record_hidden_states
from sluice.inference.inputs import batches_by_length, list_of_texts
from sluice.inference.predictor import BATCH_SIZE, Predictor
from sluice.inference.trace import Trace, TracedStates, array_of, most_probable, require_tokens
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.plain import Plain
from sluice.text.tag_spans import spans_of
from sluice.text.tokenizers import Tokenizer
from sluice.text.vocab import PADDING_ID, UNKNOWN_ID, Vocab


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


class Symbols:
    """The symbols of a generated task, which has no unknown ones.

    Example:
        >>> Symbols(["a", "b", "end"]).split("ab end")
        ['a', 'b', 'end']
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Returns the ids of symbols."""
        return [self.tokens.index(token) for token in tokens]

    def split(self, text: str) -> list[str]:
        """Splits a sequence at white space, and pieces that are not symbols into characters.

        Raises:
            UserError: for an unknown symbol.
        """
        symbols = [symbol for piece in text.split() for symbol in ([piece] if piece in self.tokens else piece)]
        unknown = next((symbol for symbol in symbols if symbol not in self.tokens), None)
        if unknown is not None:
            raise UserError(f"there is no symbol {unknown!r} in this task: there are {' '.join(self.tokens)}")
        return symbols


class Tagger(Predictor["str | Sequence[str]"]):
    """Assigns a tag to each word of a sentence with a trained network and its vocabulary.

    Example:
        >>> from sluice.inference.examples import tagger
        >>> [prediction] = tagger().predict(["the film was good"])  # untrained
        >>> prediction.words, prediction.tags
        (['the', 'film', 'was', 'good'], ['I-PER', 'B-PER', 'B-PER', 'B-PER'])
    """

    description = "tags words"
    columns = ("prediction",)
    answers_blank = True
    network: SequenceLabeller

    def __init__(
        self,
        *,
        network: SequenceLabeller,
        vocab: Vocab | Symbols,
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

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, in the order of the class ids."""
        return self.tags

    def item(self, texts: Sequence[str]) -> str:
        return texts[0]

    def predict(self, items: Iterable[str | Sequence[str]], *, batch_size: int = BATCH_SIZE) -> list[TagPrediction]:
        """Predicts the tags of each sentence.

        Args:
            items: any number of sentences, sorted by length into batches: the words of each, or a text. The words must
                be tokens as in the training sentences: "hurry ." for "hurry." if punctuation was separate there.
            batch_size: number of sentences run through the network together.

        Raises:
            TypeError: for a single string instead of a list.

        Example:
            >>> from sluice.inference.examples import tagger
            >>> [len(prediction.tags) for prediction in tagger().predict([["the", "film"], "the film was bad"])]
            [2, 4]
        """
        sentences = self._sentences(items)
        found = self._probabilities(sentences, batch_size)
        return [self._prediction(words, rows) for words, rows in zip(sentences, found, strict=True)]

    def predict_proba(
        self, items: Iterable[str | Sequence[str]], *, batch_size: int = BATCH_SIZE
    ) -> list[NDArray[np.float32]]:
        """Returns for each sentence the probability of each tag of each word, (words, tags), as ordered in `labels`.

        Args:
            items: as in `predict`.
            batch_size: as in `predict`.

        Raises:
            TypeError: as `predict`.

        Example:
            >>> from sluice.inference.examples import tagger
            >>> [rows.shape for rows in tagger().predict_proba(["the film", "", "bad"])]
            [(2, 3), (0, 3), (1, 3)]
        """
        return self._probabilities(self._sentences(items), batch_size)

    @torch.inference_mode()
    def trace(self, text: str, *, layer: int | None = None, backward: bool = False) -> Trace:
        """Records states and gates at each word of a sentence.

        Args:
            text: the sentence.
            layer: layer number, 1 is the lowest; None for the top layer.
            backward: record the backward direction of a bidirectional network.

        Raises:
            UserError: if the sentence has no words, or the layer or direction does not exist.

        Example:
            >>> from sluice.inference.examples import tagger
            >>> trace = tagger().trace("the film", backward=True)
            >>> trace.states["hidden"].shape, trace.outputs.shape
            ((2, 8), (2, 16))
        """
        embedding = self.network.embedding
        assert embedding is not None
        words = require_tokens(self.tokenize(text))
        ids = self.vocab.encode(words)
        features = embedding(torch.tensor([ids], device=self.device))
        hidden = record_hidden_states(self.network.recurrent, features, layer=layer, backward=backward)
        known = [isinstance(self.vocab, Symbols) or index != UNKNOWN_ID for index in ids]
        predictions = most_probable(self.network.output(hidden.outputs), self.labels)
        return Trace(words, known, *TracedStates.of(hidden), predictions=predictions)

    def _sentences(self, items: Iterable[str | Sequence[str]]) -> list[list[str]]:
        if isinstance(items, str):
            list_of_texts(items, "sentences")  # raises the TypeError
        return [
            self.tokenize(item) if isinstance(item, str) else list_of_texts(item, "words of a sentence")
            for item in items
        ]

    def _probabilities(self, sentences: list[list[str]], batch_size: int) -> list[NDArray[np.float32]]:
        found = [np.zeros((0, len(self.tags)), dtype=np.float32)] * len(sentences)
        filled = [index for index, words in enumerate(sentences) if words]
        for rows in batches_by_length([len(sentences[index]) for index in filled], batch_size):
            batch = [filled[row] for row in rows]
            lengths = torch.tensor([len(sentences[index]) for index in batch])
            ids = [torch.tensor(self.vocab.encode(sentences[index])) for index in batch]
            inputs = pad_sequence(ids, batch_first=True, padding_value=PADDING_ID).to(self.device)
            with torch.inference_mode():
                probabilities = array_of(self.network(inputs, lengths).outputs.float().softmax(-1))
            for row, index in enumerate(batch):
                found[index] = probabilities[row, : len(sentences[index])]
        return found

    def _prediction(self, words: list[str], rows: NDArray[np.float32]) -> TagPrediction:
        tags = [self.tags[index] for index in rows.argmax(1)]
        spans: list[Plain] | None = None
        if self.scheme is not None:
            spans = [
                {"type": kind, "start": start, "end": end, "text": " ".join(words[start:end])}
                for kind, start, end in sorted(spans_of(tags, self.scheme), key=lambda span: span.start)
            ]
        return TagPrediction(words, tags, rows.max(1, initial=0).tolist(), spans)

    def _words(self) -> list[str]:
        return self.vocab.tokens
