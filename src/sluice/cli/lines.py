"""Lines of a file or of standard input, and batches of them."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sluice.runs.saved_model import SavedModel
from sluice.text.lines import read_lines

Item = TypeVar("Item")


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


def print_notes(model: SavedModel, as_json: bool) -> None:
    """Prints notes on a model and on how texts given to it are split; none with --json."""
    if as_json:
        return
    if model.data_source == "sample":
        print("note: this model was trained on generated data", file=sys.stderr)
    if model.tokenized is not None:
        how = "split at white space only" if model.tokenized else "tokenised"
        print(f"note: the given texts are {how}", file=sys.stderr)
