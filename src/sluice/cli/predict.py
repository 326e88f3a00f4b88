"""sluice predict: the class of new texts."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sluice.errors import UserError, unreadable
from sluice.inference.predictor import Prediction, Predictor
from sluice.recipes.load import load_for
from sluice.terminal import PlainConsole

BATCH = 64
"""Texts that run through the network together."""

Item = TypeVar("Item")


def predict_texts(run: Path, *, texts: list[str] | None, file: Path | None, as_json: bool) -> None:
    """Prints class and probability of every text, or of every pair of texts, and the words that decided.

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
    as_typed = not texts and file is None and sys.stdin.isatty()
    model, predictor = load_for(run, Predictor)  # type: ignore[type-abstract]
    if model.data_source == "sample" and not as_json:
        print("note: this model was trained on the generated sample, not on real reviews", file=sys.stderr)
    items = predictor.items_of_arguments(texts) if texts else _items_of_lines(predictor, file)
    console, number = PlainConsole(soft_wrap=True), 0
    for some in batched(items, 1 if as_typed else BATCH):
        for prediction in predictor.predict(some, first=number + 1):
            _show(console, prediction, as_json)
        number += len(some)
    if not number:
        raise UserError("there is no text to predict: give one in quotes, --file, or lines on standard input")


def _items_of_lines(predictor: Predictor[Item], file: Path | None) -> Iterator[Item]:
    for number, line in enumerate(read_lines(file), start=1):
        yield predictor.item_of_line(line, f"{file or 'standard input'}, line {number}")


def _show(console: PlainConsole, prediction: Prediction, as_json: bool) -> None:
    if as_json:
        print(json.dumps(prediction.as_dict(), ensure_ascii=False))
        return
    for line in prediction.lines():
        console.print(line)


def read_lines(file: Path | None) -> Iterator[str]:
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
        raise unreadable(file or "standard input", error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file or 'standard input'} is not UTF-8 text: save it as UTF-8") from error


def batched(lines: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of up to `size` lines."""
    iterator = iter(lines)
    while some := list(islice(iterator, size)):
        yield some
