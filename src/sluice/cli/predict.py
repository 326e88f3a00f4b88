"""sluice predict: predicts the class of texts."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sluice.errors import UserError
from sluice.inference.predictor import Prediction, Predictor
from sluice.recipes.load import load_for
from sluice.terminal import PlainConsole
from sluice.text.lines import read_lines

BATCH = 64
"""Texts per batch."""

Item = TypeVar("Item")


def predict_texts(run: Path, *, texts: list[str] | None, file: Path | None, as_json: bool) -> None:
    """Prints the predicted class and its probability for each text or pair of texts, with the attention weights.

    Args:
        run: a run folder or a checkpoint.
        texts: the texts; None reads `file`, or standard input if that is None too.
        file: a file with one text per line, or two separated by a tab for models of text pairs.
        as_json: print one JSON object per text.

    Raises:
        UserError: for an invalid checkpoint, an unreadable file, an empty text or an incomplete pair.
    """
    if texts and file:
        raise UserError("give texts or --file, not both")
    interactive = not texts and file is None and sys.stdin.isatty()
    model, predictor = load_for(run, Predictor)  # type: ignore[type-abstract]
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on generated data", file=sys.stderr)
    items = predictor.parse_arguments(texts) if texts else _items_of_lines(predictor, file)
    console, number = PlainConsole(soft_wrap=True), 0
    for batch in batched(items, 1 if interactive else BATCH):
        for prediction in predictor.predict(batch, first=number + 1):
            _print_prediction(console, prediction, as_json)
        number += len(batch)
    if not number:
        raise UserError("there is no text to predict: give one in quotes, --file, or lines on standard input")


def _items_of_lines(predictor: Predictor[Item], file: Path | None) -> Iterator[Item]:
    for number, line in enumerate(input_lines(file), start=1):
        yield predictor.parse_line(line, f"{file or 'standard input'}, line {number}")


def _print_prediction(console: PlainConsole, prediction: Prediction, as_json: bool) -> None:
    if as_json:
        print(json.dumps(prediction.as_dict(), ensure_ascii=False))
        return
    for line in prediction.lines():
        console.print(line)


def input_lines(file: Path | None) -> Iterator[str]:
    """Yields the lines of a file, or of standard input; prints a hint if that is a terminal."""
    if file is None and sys.stdin.isatty():
        print("Type a text and press Enter; Ctrl-D ends.", file=sys.stderr)
    return read_lines(file)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Splits items into lists of up to `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
