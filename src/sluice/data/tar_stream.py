"""Reading a .tar.gz once from front to back, without unpacking it to disk."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from sluice.errors import UserError

BLOCK_SIZE = 512
END_OF_ARCHIVE = bytes(BLOCK_SIZE)
REGULAR_FILE = (b"0", b"\0")
WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Type flags of links, devices, folders and pipes (POSIX ustar): no content blocks follow their header."""


class NotATarError(Exception):
    """A header block that no tar program wrote."""


def stream_tar_gz(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every regular file, in the order in which they lie in the archive.

    It reads the headers itself because `tarfile` takes three times as long over 50,000 small files (1.3 s against
    0.4 s). Extension headers are skipped, so a name of more than 100 bytes comes cut. The checksum over all of it is
    only known at the end: what was yielded before an error must be thrown away.

    Raises:
        UserError: `path` cannot be opened, is cut short or damaged, or is no gzip-compressed tar archive.
    """
    try:
        with gzip.open(path, "rb") as stream:
            yield from _regular_files(stream)
            _read_to_the_end(stream)
    except EOFError:
        raise _unreadable(path, "it ends too early") from None
    except (zlib.error, gzip.BadGzipFile, NotATarError) as error:
        raise _unreadable(path, str(error)) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): check the file and its rights.") from error


def _regular_files(stream: gzip.GzipFile) -> Iterator[tuple[str, bytes]]:
    """Yields regular files up to the end-of-archive block; raises EOFError where that is missing."""
    while (header := _read_exactly(stream, BLOCK_SIZE)) != END_OF_ARCHIVE:
        type_flag = header[156:157]
        size = 0 if type_flag in WITHOUT_CONTENT else _content_size(header)
        content = _read_exactly(stream, -(-size // BLOCK_SIZE) * BLOCK_SIZE)
        if type_flag in REGULAR_FILE:
            yield header[:100].rstrip(b"\0").decode("utf-8", "replace"), content[:size]


def _content_size(header: bytes) -> int:
    if header[257:262] != b"ustar":
        raise NotATarError("what is compressed in it is no tar archive")
    try:
        return int(header[124:136].strip(b"\0 "), 8)
    except ValueError:
        raise NotATarError("a file size in it is no octal number") from None


def _read_exactly(stream: gzip.GzipFile, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _read_to_the_end(stream: gzip.GzipFile) -> None:
    """Makes gzip compare its checksum, which stands behind the last byte."""
    while stream.read(1 << 20):
        pass


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a complete .tar.gz ({reason}): replace it with a whole copy, or remove it.")
