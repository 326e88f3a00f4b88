"""Lines of a file or of standard input, and their answers, one for each line."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sluice.text.lines import read_lines

Item = TypeVar("Item")
Given = TypeVar("Given")
Answer = TypeVar("Answer")


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


def answered(
    inputs: Iterable[Given],
    answerable: Callable[[Given], bool],
    answer: Callable[[list[Given]], Iterator[Answer]],
    batch_size: int,
) -> Iterator[tuple[Given, Answer | None]]:
    """Yields each input with its answer, in order; None for inputs that cannot be answered, such as blank lines.

    Args:
        inputs: the inputs.
        answerable: whether an input has an answer.
        answer: returns the answers to a batch of answerable inputs.
        batch_size: number of inputs per batch.
    """
    for batch in batched(inputs, batch_size):
        chosen = [given for given in batch if answerable(given)]
        answers = answer(chosen) if chosen else iter(())
        for given in batch:
            yield given, next(answers) if answerable(given) else None
