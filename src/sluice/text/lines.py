"""Lines of UTF-8 text: files, plain or gzipped, and standard input.

Every text that the program reads is read here. Lines end with LF or CRLF, so that their number is that of `wc -l`
(plus one if the last line has no line break); no other character ends a line.
"""

import codecs
import gzip
import io
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from sluice.errors import UserError, unreadable

MAX_EXPANSION = 4
"""Maximum size of a decompressed published archive, as a multiple of its known size."""
PART_BYTES = 2**20
"""Size above which `read_parts` yields a line in parts."""
STDIN = "standard input"
_BREAKS = re.compile("\r\n|[\0\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_GZIP = b"\x1f\x8b"
_WIDE_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def is_packed(path: Path) -> bool:
    """Returns whether a file is read as gzipped: its name ends with .gz, in upper or lower case."""
    return path.suffix.lower() == ".gz"


def check_not_pipe(path: Path, name: str = "") -> None:
    """Checks that a path can be read more than once; missing files and folders pass.

    Args:
        path: the path.
        name: name of the path for the message; "" for the path.

    Raises:
        UserError: if it is a pipe, a device or a socket.
    """
    with read_errors(path):
        if path.is_file() or path.is_dir() or not path.exists():
            return
        kind = "a pipe" if path.is_fifo() else "not a regular file"
    raise UserError(f"{name or path} is {kind}: save its contents in a file, because they are read more than once")


def one_line(text: str) -> str:
    """Replaces line breaks, the control characters that some programs read as such, and zero bytes by spaces."""
    return _BREAKS.sub(" ", text)


def read_lines(path: Path | None, known_bytes: int | None = None, *, keep_ends: bool = False) -> Iterator[str]:
    """Yields the lines of a file, plain or gzipped (.gz), or of standard input.

    Args:
        path: path of the file; None for standard input.
        known_bytes: decompressed size of a published file; None for a file of any size.
        keep_ends: whether to keep the line breaks.

    Raises:
        UserError: if the file cannot be read, is damaged or much larger than the published one, or as `decoded_lines`.
    """
    with open_binary(path, known_bytes) as file:
        yield from decoded_lines(file, path or STDIN, keep_ends=keep_ends)


class LinePart(NamedTuple):
    """A line, or a part of a long line, without its line break."""

    text: str
    ends: bool
    """Whether the line ends here."""


def read_parts(path: Path, *, anywhere: bool = False, part_bytes: int = PART_BYTES) -> Iterator[LinePart]:
    """Yields the lines of a file, plain or gzipped (.gz); long lines in parts, so that little memory is needed.

    Args:
        path: path of the file.
        anywhere: whether a part may end after any character; otherwise it ends with a space, so that no token of a word
            tokenizer is split, and a line without spaces is not split.
        part_bytes: size above which a line is yielded in parts.

    Raises:
        UserError: as `read_lines`.
    """
    with open_binary(path) as file:
        previous: str | None = None
        parts = _split_lines(file, part_bytes, anywhere)
        for text in decoded_lines(parts, path, keep_ends=True, in_parts=True):
            if previous is not None:
                yield _line_part(previous, ends=previous.endswith("\n"))
            previous = text
        if previous is not None:
            yield _line_part(previous, ends=True)


def _line_part(text: str, *, ends: bool) -> LinePart:
    return LinePart(text.removesuffix("\n").removesuffix("\r"), ends)


def _split_lines(file: BinaryIO, part_bytes: int, anywhere: bool) -> Iterator[bytes]:
    rest = b""
    while raw := file.readline(part_bytes):
        rest += raw
        if raw.endswith(b"\n"):
            yield rest
            rest = b""
        elif len(rest) >= part_bytes and (end := _last_character(rest) if anywhere else _last_space(rest)):
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _last_space(raw: bytes) -> int:
    """Returns the offset after the last space; not that of "<br />", which "basic_english" removes."""
    end = raw.rfind(b" ") + 1
    while raw[:end].endswith(b"<br "):
        end = raw.rfind(b" ", 0, end - 1) + 1
    return end


def _last_character(raw: bytes) -> int:
    """Returns the offset of the last character of UTF-8 text, which may be incomplete."""
    end = len(raw) - 1
    while end and raw[end] & 0xC0 == 0x80:
        end -= 1
    return end


def decoded_lines(
    raw_lines: Iterable[bytes], name: str | Path, *, keep_ends: bool = False, in_parts: bool = False
) -> Iterator[str]:
    """Yields the decoded lines of a UTF-8 text, without a byte-order mark; a lone CR becomes a space.

    Args:
        raw_lines: lines that end with LF, as a binary file yields them, or parts of lines.
        name: name of the text, for messages.
        keep_ends: whether to keep the line breaks.
        in_parts: whether lines may be given in parts; the line breaks of old Mac files are then refused at the end.

    Raises:
        UserError: if it is not UTF-8 text, contains a zero byte, or has the line breaks of old Mac files (CR); the
            message names the line and the byte.

    Example:
        >>> list(decoded_lines([b"one\\r\\n", b"two\\x0cthree\\n"], "a.txt"))
        ['one', 'two\\x0cthree']
    """
    offset, number, has_return = 0, 1, False
    for raw in raw_lines:
        if not offset:
            _check_encoding(raw, name) if in_parts else check_first_line(raw, name)
        has_return = has_return or (number == 1 and _has_return(raw))
        if b"\0" in raw:
            position = offset + raw.index(0)
            raise UserError(f"{name} is binary (byte {position:,}, line {number:,}, is zero): use a text file")
        try:
            text = raw.decode("utf-8" if offset else "utf-8-sig")
        except UnicodeDecodeError as error:
            bad = offset + error.start + len(raw) - len(error.object)  # error.object has no byte-order mark
            raise UserError(f"{name} is not UTF-8 at byte {bad:,} (line {number:,}): save it as UTF-8") from error
        offset += len(raw)
        number += raw.endswith(b"\n")
        end = "\r\n" if text.endswith("\r\n") else "\n" if text.endswith("\n") else ""
        yield text.removesuffix(end).replace("\r", " ") + (end if keep_ends else "")
    if number == 1 and has_return:
        raise _mac_line_breaks(name)


def check_first_line(raw: bytes, name: str | Path) -> None:
    """Checks the first line of a text; it is the only one if there is no LF.

    Raises:
        UserError: for UTF-16 or gzipped text, and for the line breaks of old Mac files.
    """
    _check_encoding(raw, name)
    if not raw.endswith(b"\n") and _has_return(raw) and b"\0" not in raw:
        raise _mac_line_breaks(name)


def _check_encoding(raw: bytes, name: str | Path) -> None:
    for mark, encoding in _WIDE_MARKS.items():
        if raw.startswith(mark):
            raise UserError(f"{name} is {encoding} text: save it as UTF-8")
    if raw.startswith(_GZIP):
        raise UserError(f"{name} is a gzip file: rename it to end with .gz")


def _has_return(raw: bytes) -> bool:
    """Returns whether there is a CR before the end of a line, or of a part of it."""
    return b"\r" in raw.rstrip(b"\r\n")


def _mac_line_breaks(name: str | Path) -> UserError:
    return UserError(
        f"{name} has the line breaks of old Mac files (CR without LF): convert it with tr '\\r' '\\n' < FILE"
    )


@contextmanager
def open_binary(path: Path | None, known_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Opens a file, decompressed if its name ends with .gz, or standard input.

    Args:
        path: path of the file; None for standard input.
        known_bytes: decompressed size of a published file; None for a file of any size.

    Raises:
        UserError: if it cannot be opened, or reading it fails within the context; see `read_errors`.
    """
    if path is None:
        with read_errors(STDIN):
            yield sys.stdin.buffer
        return
    with read_errors(path):
        if not is_packed(path):
            with path.open("rb") as file:
                yield file
            return
        with gzip.open(path, "rb") as packed:
            stream = cast(BinaryIO, packed)
            yield stream if known_bytes is None else cast(BinaryIO, limit_size(stream, path, known_bytes))


@contextmanager
def read_errors(name: Path | str) -> Iterator[None]:
    """Turns the errors of reading a file, plain, gzipped or in a .zip archive, into a UserError.

    Raises:
        UserError: if the file cannot be read, is truncated, or is damaged.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        kind = "zip archive" if str(name).endswith(".zip") else "gzip file"
        raise UserError(f"{name} is truncated or not a {kind}: replace it with a complete copy") from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unreadable(name, error) from error


def limit_size(stream: BinaryIO, path: Path, known_bytes: int) -> io.BufferedReader:
    """Returns a decompressed stream that raises an error beyond `MAX_EXPANSION` times the known size.

    Args:
        stream: decompressed content.
        path: path of the archive, for the message.
        known_bytes: decompressed size of the published archive.
    """
    return io.BufferedReader(_Limited(stream, path, MAX_EXPANSION * known_bytes))


def check_size(path: Path, size: int, known_bytes: int) -> None:
    """Checks the size of an archive member.

    Args:
        path: path of the archive, for the message.
        size: decompressed size.
        known_bytes: decompressed size of the published archive.

    Raises:
        UserError: if the size is more than `MAX_EXPANSION` times the known one.
    """
    if size > MAX_EXPANSION * known_bytes:
        raise _too_large(path, MAX_EXPANSION * known_bytes)


class _Limited(io.RawIOBase):
    def __init__(self, stream: BinaryIO, path: Path, max_bytes: int) -> None:
        self._stream, self._path, self._max_bytes, self._count = stream, path, max_bytes, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._stream.read(len(buffer))
        self._count += len(content)
        if self._count > self._max_bytes:
            raise _too_large(self._path, self._max_bytes)
        buffer[: len(content)] = content
        return len(content)


def _too_large(path: Path, max_bytes: int) -> UserError:
    return UserError(
        f"{path} expands to more than {max_bytes / 1e6:,.0f} MB, {MAX_EXPANSION} times the size of the published "
        "archive: replace it with the published archive"
    )
