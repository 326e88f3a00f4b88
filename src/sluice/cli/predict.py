"""sluice predict: the class of new texts."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from sluice.cli.predict_pairs import given_pairs, predict_pairs, show_pair
from sluice.data.batches import pad
from sluice.data.ragged import Ragged
from sluice.errors import UserError
from sluice.recipes.load import SavedModel, load_model
from sluice.recipes.registry import CLASSIFICATION, PAIRS
from sluice.terminal import PlainConsole
from sluice.text.tokenizers import Tokenizer, make_tokenizer
from sluice.text.truncation import kept_places

BATCH = 64
"""Texts that run through the network together."""
WORDS_SHOWN = 8

Item = TypeVar("Item")


def predict_texts(run: Path, *, texts: list[str] | None, file: Path | None, as_json: bool) -> None:
    """Prints label and probability of every text; with attention pooling the words that weighed most.

    A model of pairs says the class of two texts, and the words that decided.

    Args:
        run: a run's folder or a checkpoint.
        texts: the texts; None takes those of `file`, or standard input where that is None too.
        file: one text a line, of pairs two with a tab between them.
        as_json: one JSON object a text.

    Raises:
        UserError: for a checkpoint that isn't one, a file that can't be read, a text without a word, or a pair that is
            none.
    """
    if texts and file:
        raise UserError("give texts or --file, not both")
    lines: Iterable[Any] = texts or lines_of(file)
    as_typed = not texts and file is None and sys.stdin.isatty()
    model = load_model(run, CLASSIFICATION)
    if model.family is PAIRS:
        predict: Callable[..., list[dict[str, Any]]] = partial(predict_pairs, model)
        show, lines = show_pair, given_pairs(texts, file, lines)
    else:
        predict, show = partial(predict_batch, model, make_tokenizer(model.config.task.text.tokenizer)), _show
    console = PlainConsole(soft_wrap=True)
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on the generated sample, not on real reviews", file=sys.stderr)
    number = 0
    for some in batches_of(lines, 1 if as_typed else BATCH):
        for prediction in predict(some, first=number + 1):
            print(json.dumps(prediction, ensure_ascii=False)) if as_json else show(console, prediction)
        number += len(some)
    if not number:
        raise UserError("there is no text to predict: give one in quotes, --file, or lines on standard input")


def predict_batch(model: SavedModel, tokenize: Tokenizer, texts: list[str], first: int = 1) -> list[dict[str, Any]]:
    """For every text: text, label, probability, probabilities of all classes and, with attention, words and weights.

    Args:
        model: the trained model.
        tokenize: its tokenizer.
        texts: the texts.
        first: number of the first text, for the error.

    Raises:
        UserError: for a text without a word.
    """
    tokens = [tokenize(text) for text in texts]
    for number, words in enumerate(tokens, start=first):
        if not words:
            raise UserError(f"text {number} is empty: there is no word in it to predict from")
    data = model.config.task.data
    lengths = np.asarray([len(words) for words in tokens])
    flat = np.asarray([index for words in tokens for index in model.vocab.encode(words)], dtype=np.int32)
    ragged = Ragged(flat, np.concatenate([[0], lengths.cumsum()]))
    ids, kept = pad(ragged, np.arange(len(texts)), data.max_length, data.truncation, model.config.task.padding)
    with torch.inference_mode():
        logits, weights = model.network(ids, kept)
    probabilities = logits.softmax(-1)
    places, _ = kept_places(lengths, data.max_length, data.truncation)
    return [
        {
            "text": text,
            "label": model.labels[int(row.argmax())],
            "probability": float(row.max()),
            "probabilities": dict(zip(model.labels, row.tolist(), strict=True)),
            "unknown_words": sum(word not in model.vocab for word in words),
            **({} if weights is None else {"words": _weighed(words, places[i][: kept[i]], weights[i])}),
        }
        for i, (text, words, row) in enumerate(zip(texts, tokens, probabilities, strict=True))
    ]


def _weighed(words: list[str], places: Any, weights: torch.Tensor) -> list[tuple[str, float]]:
    """The words kept of a text, each with its attention weight."""
    return [(words[place], float(weight)) for place, weight in zip(places, weights, strict=False)]


def _show(console: PlainConsole, prediction: dict[str, Any]) -> None:
    text = " ".join(prediction["text"].split())
    shown = text if len(text) <= 100 else text[:99] + "…"
    console.print(f"{prediction['label']}  {prediction['probability']:.3f}  {shown}")
    if "words" in prediction:
        most = sorted(prediction["words"], key=lambda pair: -pair[1])[:WORDS_SHOWN]
        weights = ", ".join(f"{word} {weight:.2f}" for word, weight in most)
        console.print(f"    weighed most: {weights}")
    words = prediction["unknown_words"]
    if words:
        console.print(f"    {words} unknown {'word' if words == 1 else 'words'}", style="dim")


def lines_of(file: Path | None) -> Iterator[str]:
    """The lines of the file, or of standard input."""
    if file is None and sys.stdin.isatty():
        print("Type a text and press Enter; Ctrl-D ends.", file=sys.stderr)
    try:
        if file is None:
            yield from (line.rstrip("\n") for line in sys.stdin)
        else:
            with file.open(encoding="utf-8") as lines:
                yield from (line.rstrip("\n") for line in lines)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file or 'standard input'} is not UTF-8 text: save it as UTF-8") from error


def batches_of(lines: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of up to `size` lines."""
    iterator = iter(lines)
    while some := list(islice(iterator, size)):
        yield some
