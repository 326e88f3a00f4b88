"""Lines of a file or of standard input, and batches of them."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

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
