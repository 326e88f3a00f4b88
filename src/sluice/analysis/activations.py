"""Activations and predictions of a trained model at every token of a text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sluice.analysis.hidden_states import HiddenStates, record_hidden_states
from sluice.errors import UserError
from sluice.inference.classifier import Classifier
from sluice.inference.language_model import TextGenerator
from sluice.inference.tagger import Tagger
from sluice.inference.translator import Translator
from sluice.layers.pooling import LastPooling
from sluice.models.classifier import TextClassifier
from sluice.models.language import LanguageModel
from sluice.models.seq2seq import Seq2Seq
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recipes.load import inference_object
from sluice.runs.saved_model import SavedModel
from sluice.text.coder import EOS
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.truncation import kept_positions
from sluice.text.vocab import UNKNOWN, UNKNOWN_ID, Vocab

ROWS = 100
"""Number of steps for which a language model's distribution is computed at a time."""


class LayerChoice(NamedTuple):
    """A layer and direction of the recurrent core."""

    layer: int | None
    """Layer number, 1 is the lowest; None for the top layer."""
    backward: bool
    """Whether to take the backward direction."""


class StepPrediction(NamedTuple):
    """The prediction of a model after a token."""

    prediction: str
    """The most probable class or token."""
    probability: float
    """Its probability."""
    next_probability: float | None = None
    """Probability of the token that follows in the text; language models only, None at the last token."""


@dataclass(frozen=True)
class TextActivations:
    """Activations and predictions of a model at the T tokens of a text."""

    symbols: list[str]
    """The T tokens; unknown words are followed by `<unk>`."""
    hidden: HiddenStates
    """States and gates at every token."""
    unknown: list[str] = field(default_factory=list)
    """Tokens that are not in the vocabulary."""
    predictions: list[StepPrediction] = field(default_factory=list)
    """The prediction from the text up to each token; empty if the model predicts from the whole text only."""
    prediction: StepPrediction | None = None
    """The prediction of a classifier for the whole text."""
    weights: list[float] | None = None
    """(T,) weights of attention pooling."""
    length: int = 0
    """Number of tokens of the text before truncation, for models with a maximum length."""
    kept: int = 0
    """Number of tokens after truncation."""


def record_activations(model: SavedModel, text: str, choice: LayerChoice) -> TextActivations:
    """Runs a text through a model and records its activations.

    Args:
        model: the trained model.
        text: the text.
        choice: layer and direction.

    Raises:
        UserError: if the text has no tokens, the model doesn't read text, or the layer or direction doesn't exist.
    """
    kind = next((kind for kind in RECORDERS if isinstance(model.network, kind)), None)
    if kind is None or getattr(model.network, "embedding", model) is None:
        raise UserError(
            f"{model.path} is of task={model.config.task.name}, which has no recurrent core over tokens: inspect a "
            "run of a classifier, language model, translator or tagger"
        )
    try:
        with torch.no_grad():
            return RECORDERS[kind](model, text, choice)
    except ValueError as error:
        raise UserError(str(error)) from error


def _record_classifier(model: SavedModel, text: str, choice: LayerChoice) -> TextActivations:
    network: TextClassifier = model.network
    classifier = inference_object(model, Classifier)
    words = _not_empty(classifier.tokenize(text))
    positions, _ = kept_positions(np.asarray([len(words)]), classifier.max_length, classifier.truncation)
    kept = [words[position] for position in positions[0]]
    ids = torch.tensor([model.vocab.encode(kept)])
    features = network.embed(ids)
    hidden = record_hidden_states(
        network.recurrent, features, segment_length=network.segment_length, **choice._asdict()
    )
    classified = network.classify(features, torch.tensor([len(kept)]))
    return TextActivations(
        *_mark_unknown(kept, model.vocab, hidden),
        predictions=_most_probable(network.output(hidden.top), model.labels)
        if _predicts_at_every_step(network)
        else [],
        prediction=_most_probable(classified.logits, model.labels)[0],
        weights=None if classified.weights is None else classified.weights[0].tolist(),
        length=len(words),
        kept=len(kept),
    )


def _predicts_at_every_step(network: TextClassifier) -> bool:
    """Whether the output layer applied to any step's state gives the prediction for the text up to this step."""
    return isinstance(network.pooling, LastPooling) and network.recurrent.directions == 1


def _record_language_model(model: SavedModel, text: str, choice: LayerChoice) -> TextActivations:
    network: LanguageModel = model.network
    language_text, tokenized = inference_object(model, TextGenerator).text, bool(model.tokenized)
    words = [END_OF_LINE, *_not_empty(language_text.tokens(text, tokenized))]
    ids = language_text.prompt_ids(text, tokenized)
    hidden = record_hidden_states(network.recurrent, network.embedding(torch.tensor([ids])), **choice._asdict())
    features = hidden.outputs if network.projection is None else network.projection(hidden.outputs)
    predictions: list[StepPrediction] = []
    next_ids: list[int | None] = [*ids[1:], None]
    for start, rows in zip(range(0, len(ids), ROWS), features.split(ROWS), strict=True):
        probabilities = network.head.log_probabilities(rows).exp()
        steps = zip(*probabilities.max(-1), probabilities, next_ids[start : start + ROWS], strict=True)
        predictions += [
            StepPrediction(
                model.vocab.tokens[int(best)],
                float(probability),
                None if next_id is None else float(row[next_id]),
            )
            for probability, best, row, next_id in steps
        ]
    return TextActivations(*_mark_unknown(words, model.vocab, hidden), predictions=predictions)


def _record_labeller(model: SavedModel, text: str, choice: LayerChoice) -> TextActivations:
    network: SequenceLabeller = model.network
    assert network.embedding is not None
    known = model.parts["vocab"]
    if model.parts["tags"]:
        words, names = _not_empty(inference_object(model, Tagger).tokenize(text)), model.parts["tags"]
        ids = Vocab(known).encode(words)
    else:
        words, names = _not_empty(_split_symbols(text, known)), known
        ids = [known.index(symbol) for symbol in words]
    hidden = record_hidden_states(network.recurrent, network.embedding(torch.tensor([ids])), **choice._asdict())
    predictions = _most_probable(network.output(hidden.outputs), names)
    if model.parts["tags"]:
        return TextActivations(*_mark_unknown(words, Vocab(known), hidden), predictions=predictions)
    return TextActivations(words, hidden, predictions=predictions)


def _split_symbols(text: str, known: list[str]) -> list[str]:
    """Splits a sequence of a generated task at whitespace, and pieces that are not symbols into characters."""
    symbols = [symbol for piece in text.split() for symbol in ([piece] if piece in known else piece)]
    unknown = next((symbol for symbol in symbols if symbol not in known), None)
    if unknown is not None:
        raise UserError(f"there is no symbol {unknown!r} in this task: there are {' '.join(known)}")
    return symbols


def _record_encoder(model: SavedModel, text: str, choice: LayerChoice) -> TextActivations:
    network: Seq2Seq = model.network
    translator = inference_object(model, Translator)
    coder, max_length = translator.source, translator.max_length
    words = _not_empty(coder.unit.raw(text))
    ids = coder.source_ids(text, max_length)
    hidden = record_hidden_states(network.encoder, network.source_embedding(torch.tensor([ids])), **choice._asdict())
    unknown = [word for word, index in zip(words, ids[:-1], strict=False) if index == UNKNOWN_ID]
    symbols = [_label(word, index) for word, index in zip(words, ids[:-1], strict=False)]
    return TextActivations([*symbols, EOS], hidden, unknown, length=len(words), kept=len(ids) - 1)


RECORDERS: dict[type, Callable[[SavedModel, str, LayerChoice], TextActivations]] = {
    TextClassifier: _record_classifier,
    LanguageModel: _record_language_model,
    SequenceLabeller: _record_labeller,
    Seq2Seq: _record_encoder,
}


def _not_empty(words: list[str]) -> list[str]:
    if not words:
        raise UserError("the text is empty: it has no tokens")
    return words


def _mark_unknown(words: list[str], vocab: Vocab, hidden: HiddenStates) -> tuple[list[str], HiddenStates, list[str]]:
    """The first three fields of TextActivations."""
    ids = vocab.encode(words)
    unknown = [word for word, index in zip(words, ids, strict=True) if index == UNKNOWN_ID]
    return [_label(word, index) for word, index in zip(words, ids, strict=True)], hidden, unknown


def _label(word: str, index: int) -> str:
    return f"{word} {UNKNOWN}" if index == UNKNOWN_ID and word != UNKNOWN else word


def _most_probable(logits: Tensor, names: list[str] | tuple[str, ...]) -> list[StepPrediction]:
    """The most probable class of each row of logits (T, K)."""
    probabilities, indices = logits.softmax(-1).max(-1)
    return [
        StepPrediction(names[index], probability)
        for probability, index in zip(probabilities.tolist(), indices.tolist(), strict=True)
    ]
