"""What every running text looks like to the rest of the program, wherever it lies."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from sluice.data.fingerprints import Sources
from sluice.errors import UserError


class Line(NamedTuple):
    """One line of a text, without its end."""

    split: str
    """"train", "val" or "test"."""
    text: str


class RunningText(Protocol):
    """A running text in three parts that can be read as a stream, any number of times."""

    @property
    def name(self) -> str:
        """What results.json calls it: "local", "download", "sample" or "file"."""

    @property
    def sources(self) -> Sources:
        """Everything that the texts depend on: the files, or the generator and its settings."""

    @property
    def description(self) -> str:
        """Where the text comes from, for people."""

    def lines(self) -> Iterator[Line]:
        """Yields every line once, each split's in order; raises UserError when something cannot be read."""


def decoded_lines(raw_lines: Iterable[bytes], name: str | Path) -> Iterator[str]:
    """The lines of a UTF-8 text without their ends; a byte-order mark is no part of it.

    Raises:
        UserError: if it is not text, naming the file and the byte.
    """
    place = 0
    for number, raw in enumerate(raw_lines):
        if b"\0" in raw:
            raise UserError(f"{name} is binary (byte {place + raw.index(0):,} is zero): give a text file")
        try:
            text = raw.decode("utf-8-sig" if number == 0 else "utf-8")
        except UnicodeDecodeError as error:
            bad = place + error.start + len(raw) - len(error.object)  # which is without the mark
            raise UserError(f"{name} is not UTF-8 at byte {bad:,} (line {number + 1:,}): save it as UTF-8") from error
        place += len(raw)
        yield text.rstrip("\r\n")


def file_lines(path: Path) -> Iterator[str]:
    """`decoded_lines` of a file.

    Raises:
        UserError: also if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            yield from decoded_lines(stream, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def end_size(path: Path) -> int:
    """Bytes that end a line of a file, by its first one.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return 2 if stream.readline().endswith(b"\r\n") else 1
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
