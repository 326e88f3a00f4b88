"""Reading a .tar.gz once from front to back, without unpacking it to disk."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sluice.data.archive_limits import check_size, limited
from sluice.errors import UserError


def stream_tar_gz(path: Path, *, known_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every regular file, in the order in which they lie in the archive.

    The checksum over all of it is only known at the end: what was yielded before an error must be thrown away.

    Args:
        path: of the archive.
        known_bytes: what the published archive expands to, about.

    Raises:
        UserError: `path` cannot be opened, is cut short or damaged, is no gzip-compressed tar archive, or expands to
            far more than the published one.
    """
    try:
        with gzip.open(path, "rb") as packed, limited(packed, path, known_bytes) as stream:  # type: ignore[arg-type]
            yield from _regular_files(stream, path, known_bytes)
            _read_to_the_end(stream)
    except EOFError:
        raise _unreadable(path, "it ends too early") from None
    except tarfile.TarError as error:
        raise _unreadable(path, f"what is compressed in it is no tar archive: {error}") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise _unreadable(path, str(error)) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): check the file and its rights.") from error


def _regular_files(stream: BinaryIO, path: Path, known_bytes: int) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            check_size(path, member.size, known_bytes)
            whole = member.isreg() and not member.issparse()  # a sparse file may be larger than all of the archive
            content = archive.extractfile(member) if whole else None
            if content is not None:
                yield member.name, content.read()


def _read_to_the_end(stream: BinaryIO) -> None:
    """Makes gzip compare its checksum, which stands behind the last byte."""
    while stream.read(1 << 20):
        pass


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a complete .tar.gz ({reason}): replace it with a whole copy, or remove it.")
