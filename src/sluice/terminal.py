"""Safe printing of arbitrary text: without markup, and with control characters escaped on a terminal.

Output to a file or a pipe is not altered.
"""

import logging
import os
import re
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""ASCII and Latin-1 controls except tab and newline, line separators, and bidirectional formatting characters."""
FILE_ONLY = {"file_only": True}
"""`extra=FILE_ONLY` of a log message: it is written to log.txt, but not to the terminal."""
_LINE_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    r"""Escapes control characters, for example the escape character as "\x1b"."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escaped_line(text: str) -> str:
    r"""Escapes all control characters and line separators, tabs and line breaks included."""
    return _LINE_CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def print_line(text: str = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """Prints a line; control characters are escaped if the file is a terminal.

    Args:
        text: the line.
        file: standard output by default.
        flush: flush the stream.
    """
    stream = sys.stdout if file is None else file
    print(printable(text) if stream.isatty() else text, file=stream, flush=flush)


def duration(seconds: float) -> str:
    """Formats a duration: "3.2 s", "48 s", "12 min 5 s" or "3 h 12 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{min(seconds, 59):.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def prepare_streams() -> None:
    """Makes standard output and error accept any text, also if the terminal isn't UTF-8; replaces closed streams."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_libraries() -> None:
    """Switches off messages of torch's C++ code and of its profiler, unless the user has chosen their level."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # both are read when torch is imported
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")


def discard_output() -> None:
    """Discards everything printed from now on, after the reader of a pipe has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class PlainConsole(Console):
    """A rich console without markup, emoji codes and highlighting."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders a line or table cell; control characters are escaped on a terminal."""
        return super().render_str(printable(text) if self.is_terminal else text, **options)

    def on_broken_pipe(self) -> None:
        """Leaves the error to `sluice.exit_codes`; rich would exit with code 1."""
        raise  # within rich's handler

    def print(self, *objects: object, **options: Any) -> None:
        """Prints as rich does, but writes text to a file or pipe unaltered (rich would drop characters)."""
        if not self.is_terminal and all(isinstance(part, str) for part in objects):
            print_line(" ".join(objects), file=self.file)  # type: ignore[arg-type]
        else:
            super().print(*objects, **options)


def print_table(table: Table) -> None:
    """Prints a table at its full width, even if the terminal is narrower."""
    PlainConsole(soft_wrap=True, width=max(PlainConsole().width, _width_of(table))).print(table)


def fits_terminal(table: Table) -> bool:
    """Returns whether the output is not a terminal, or is at least as wide as a table."""
    console = PlainConsole()
    return not console.is_terminal or _width_of(table) <= console.width


def terminal_width() -> int:
    """Returns the columns of the terminal; 80 if the output is not a terminal."""
    return PlainConsole().width


def _width_of(table: Table) -> int:
    console = PlainConsole()
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


class PrintableFormatter(logging.Formatter):
    """Logging formatter that escapes control characters, for terminals."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
