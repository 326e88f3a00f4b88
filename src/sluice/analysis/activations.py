"""A text as a trained model reads it: symbol by symbol, with what goes on inside and what it would answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sluice.analysis.hidden_states import HiddenStates, read_hidden_states
from sluice.errors import UserError
from sluice.inference.classifier import Classifier
from sluice.inference.language_model import TextGenerator
from sluice.inference.translator import Translator
from sluice.layers.pooling import LastPooling
from sluice.models.classifier import TextClassifier
from sluice.models.language import LanguageModel
from sluice.models.seq2seq import Seq2Seq
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recipes.load import use_of
from sluice.recipes.saved_model import SavedModel
from sluice.text.coder import EOS
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.truncation import kept_positions
from sluice.text.vocab import UNKNOWN, UNKNOWN_ID, Vocab

ROWS = 100
"""Steps whose next words are computed together."""


class LayerChoice(NamedTuple):
    """Which part of the recurrent core is looked at."""

    layer: int | None
    """From 1, the lowest, on; None for the top one."""
    backward: bool


class Answer(NamedTuple):
    """What the model says after a symbol."""

    likeliest: str
    probability: float
    following: float | None = None
    """Probability of the symbol that does follow: of a language model, None after the last one."""


@dataclass(frozen=True)
class TextActivations:
    """What happens in a model while it reads a text."""

    symbols: list[str]
    """T; an unknown word is marked as one."""
    hidden: HiddenStates
    unknown: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """One a symbol, as if the text ended there; none where the model answers the whole text only."""
    verdict: Answer | None = None
    """Of a classifier, on the whole text."""
    weights: list[float] | None = None
    """(T,) how much each symbol weighed in attention pooling."""
    length: int = 0
    """Tokens of the text, where the model reads at most so many."""
    kept: int = 0
    """Tokens that it read."""


def read_text(model: SavedModel, text: str, place: LayerChoice) -> TextActivations:
    """Runs a text through a model.

    Raises:
        UserError: for a text without a symbol, a model that reads no text, or a layer or direction that isn't there.
    """
    kind = next((kind for kind in READERS if isinstance(model.network, kind)), None)
    if kind is None or getattr(model.network, "embedding", model) is None:
        raise UserError(
            f"{model.path} is of task={model.config.task.name}: it has no recurrent core that reads a text of symbols; "
            "inspect a run that classifies, writes, translates or tags"
        )
    try:
        with torch.no_grad():
            return READERS[kind](model, text, place)
    except ValueError as error:
        raise UserError(str(error)) from error


def _classified(model: SavedModel, text: str, place: LayerChoice) -> TextActivations:
    network: TextClassifier = model.network
    reader = use_of(model, Classifier)
    words = _some(reader.tokenize(text))
    places, _ = kept_positions(np.asarray([len(words)]), reader.max_length, reader.truncation)
    kept = [words[place] for place in places[0]]
    ids = torch.tensor([model.vocab.encode(kept)])
    features = network.embed(ids)
    hidden = read_hidden_states(network.recurrent, features, segment_length=network.segment_length, **place._asdict())
    classified = network.classify(features, torch.tensor([len(kept)]))
    return TextActivations(
        *_marked(kept, model.vocab, hidden),
        answers=_best(network.output(hidden.top), model.labels) if _answers_at_every_step(network) else [],
        verdict=_best(classified.logits, model.labels)[0],
        weights=None if classified.weights is None else classified.weights[0].tolist(),
        length=len(words),
        kept=len(kept),
    )


def _answers_at_every_step(network: TextClassifier) -> bool:
    """Whether the state after any step is what the classes would be read from if the text ended there."""
    return isinstance(network.pooling, LastPooling) and network.recurrent.directions == 1


def _written(model: SavedModel, text: str, place: LayerChoice) -> TextActivations:
    network: LanguageModel = model.network
    generator = use_of(model, TextGenerator)
    reader = generator.text
    words = [END_OF_LINE, *_some(reader.tokens(text))]
    ids = reader.prompt_ids(text)
    hidden = read_hidden_states(network.recurrent, network.embedding(torch.tensor([ids])), **place._asdict())
    features = hidden.outputs if network.projection is None else network.projection(hidden.outputs)
    answers: list[Answer] = []
    following: list[int | None] = [*ids[1:], None]
    for start, some in zip(range(0, len(ids), ROWS), features.split(ROWS), strict=True):
        chances = network.head.log_probabilities(some).exp()
        best = zip(*chances.max(-1), chances, following[start : start + ROWS], strict=True)
        answers += [
            Answer(model.vocab.tokens[int(index)], float(chance), None if after is None else float(row[after]))
            for chance, index, row, after in best
        ]
    return TextActivations(*_marked(words, model.vocab, hidden), answers=answers)


def _answered(model: SavedModel, text: str, place: LayerChoice) -> TextActivations:
    network: SequenceLabeller = model.network
    assert network.embedding is not None
    known = model.parts["vocab"]
    if model.parts["tags"]:
        words, names = _some(text.split()), model.parts["tags"]
        ids = Vocab(known).encode(words)
    else:
        words, names = _some(_letters(text, known)), known
        ids = [known.index(symbol) for symbol in words]
    hidden = read_hidden_states(network.recurrent, network.embedding(torch.tensor([ids])), **place._asdict())
    answers = _best(network.output(hidden.outputs), names)
    if model.parts["tags"]:
        return TextActivations(*_marked(words, Vocab(known), hidden), answers=answers)
    return TextActivations(words, hidden, answers=answers)


def _letters(text: str, known: list[str]) -> list[str]:
    """The symbols of a generated task: set apart by blanks, or one after the other."""
    symbols = [symbol for piece in text.split() for symbol in ([piece] if piece in known else piece)]
    strange = next((symbol for symbol in symbols if symbol not in known), None)
    if strange is not None:
        raise UserError(f"there is no symbol {strange!r} in this task: there are {' '.join(known)}")
    return symbols


def _translated(model: SavedModel, text: str, place: LayerChoice) -> TextActivations:
    network: Seq2Seq = model.network
    translator = use_of(model, Translator)
    coder, longest = translator.source, translator.max_length
    words = _some(coder.unit.raw(text))
    ids = coder.source_ids(text, longest)
    hidden = read_hidden_states(network.encoder, network.source_embedding(torch.tensor([ids])), **place._asdict())
    unknown = [word for word, index in zip(words, ids[:-1], strict=False) if index == UNKNOWN_ID]
    symbols = [_mark(word, index) for word, index in zip(words, ids[:-1], strict=False)]
    return TextActivations([*symbols, EOS], hidden, unknown, length=len(words), kept=len(ids) - 1)


READERS: dict[type, Callable[[SavedModel, str, LayerChoice], TextActivations]] = {
    TextClassifier: _classified,
    LanguageModel: _written,
    SequenceLabeller: _answered,
    Seq2Seq: _translated,
}


def _some(words: list[str]) -> list[str]:
    if not words:
        raise UserError("the text is empty: there is no symbol in it to read")
    return words


def _marked(words: list[str], vocab: Vocab, hidden: HiddenStates) -> tuple[list[str], HiddenStates, list[str]]:
    """The first three parts of a TextActivations."""
    ids = vocab.encode(words)
    unknown = [word for word, index in zip(words, ids, strict=True) if index == UNKNOWN_ID]
    return [_mark(word, index) for word, index in zip(words, ids, strict=True)], hidden, unknown


def _mark(word: str, index: int) -> str:
    return f"{word} {UNKNOWN}" if index == UNKNOWN_ID and word != UNKNOWN else word


def _best(logits: Tensor, names: list[str] | tuple[str, ...]) -> list[Answer]:
    """(T, K) -> the likeliest class of each row."""
    chances, indices = logits.softmax(-1).max(-1)
    return [Answer(names[index], chance) for chance, index in zip(chances.tolist(), indices.tolist(), strict=True)]
