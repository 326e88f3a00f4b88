"""Lines of a file or of standard input, and batches of them."""

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sluice.errors import UserError
from sluice.runs.saved_model import SavedModel
from sluice.text.lines import read_lines

Item = TypeVar("Item")
PROMPT = "> "


def input_lines(file: Path | None) -> Iterator[str]:
    """Yields the lines of a file, or of standard input; at a terminal with a hint and a prompt."""
    if file is None and sys.stdin.isatty():
        return typed_lines("Type a text and press Enter; Ctrl-D ends.")
    return read_lines(file)


def typed_lines(hint: str) -> Iterator[str]:
    """Prints a hint and yields the lines typed at a terminal, with a prompt, line editing and history.

    Without a terminal for the prompt, or without readline, the terminal's own line editing is used.

    Raises:
        UserError: for a line that is not UTF-8.
    """
    print(hint, file=sys.stderr, flush=True)
    if not sys.stdout.isatty():
        yield from read_lines(None)
        return
    with suppress(ImportError):  # Windows
        importlib.import_module("readline")  # then used by `input`
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            print()
            return
        except UnicodeDecodeError as error:
            raise UserError("the line is not UTF-8: set the terminal to UTF-8") from error


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
