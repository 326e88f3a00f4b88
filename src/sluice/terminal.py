"""Printing text of any origin: nothing in it is taken for markup, and it cannot control the terminal.

What goes to a file or a pipe is not altered.
"""

import logging
import re
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""ASCII and Latin-1 controls but tab and newline, line separators, and marks that change the direction of writing."""


def printable(text: str) -> str:
    r"""The text with control characters escaped, as in "\x1b" for the one that begins an escape sequence."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def print_line(text: str = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """Prints a line; control characters are escaped if the file is a terminal.

    Args:
        text: the line.
        file: standard output by default.
        flush: write it at once.
    """
    stream = sys.stdout if file is None else file
    print(printable(text) if stream.isatty() else text, file=stream, flush=flush)


class PlainConsole(Console):
    """rich's console without markup, emoji codes and highlighting."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders a line or the cell of a table, on a terminal with control characters escaped."""
        return super().render_str(printable(text) if self.is_terminal else text, **options)

    def print(self, *objects: object, **options: Any) -> None:
        """Prints as rich does; lines of text go to a file or a pipe as they are, where rich would drop characters."""
        if not self.is_terminal and all(isinstance(part, str) for part in objects):
            print_line(" ".join(objects), file=self.file)  # type: ignore[arg-type]
        else:
            super().print(*objects, **options)


def print_table(table: Table) -> None:
    """Prints a table as wide as its content needs, however wide the terminal is."""
    console = PlainConsole()
    needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    PlainConsole(soft_wrap=True, width=max(console.width, needed)).print(table)


class PrintableFormatter(logging.Formatter):
    """Messages with control characters escaped, for a log on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
