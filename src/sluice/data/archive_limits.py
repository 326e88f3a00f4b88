"""Archives of published corpora may not expand without end: a small file can hold terabytes of zeros."""

import io
from pathlib import Path
from typing import BinaryIO

from sluice.errors import UserError

FACTOR = 4
"""How many times its known size a published archive may have when it is expanded."""


def limited(stream: BinaryIO, path: Path, known_bytes: int) -> io.BufferedReader:
    """The expanded stream of an archive, which ends with an error beyond `FACTOR` times its known size.

    Args:
        stream: the expanded content.
        path: of the archive, for the message.
        known_bytes: what the published archive expands to.
    """
    return io.BufferedReader(_Limited(stream, path, FACTOR * known_bytes))


def check_size(path: Path, size: int, known_bytes: int) -> None:
    """
    Raises:
        UserError: for a size beyond `FACTOR` times the known one.
    """
    if size > FACTOR * known_bytes:
        raise _too_large(path, FACTOR * known_bytes)


class _Limited(io.RawIOBase):
    def __init__(self, stream: BinaryIO, path: Path, most: int) -> None:
        self._stream, self._path, self._most, self._count = stream, path, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._stream.read(len(buffer))
        self._count += len(content)
        if self._count > self._most:
            raise _too_large(self._path, self._most)
        buffer[: len(content)] = content
        return len(content)


def _too_large(path: Path, most: int) -> UserError:
    return UserError(
        f"{path} expands to more than {most / 1e6:,.0f} MB, {FACTOR} times the size of the published archive: it is "
        "another file, so put the published one in its place"
    )
