"""Reading a .tar.gz once from front to back, without unpacking it to disk."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sluice.errors import UserError


def stream_tar_gz(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields the name and content of every regular file, in the order in which they lie in the archive.

    The checksum over all of it is only known at the end: what was yielded before an error must be thrown away.

    Raises:
        UserError: `path` cannot be opened, is cut short or damaged, or is no gzip-compressed tar archive.
    """
    try:
        with gzip.open(path, "rb") as stream:
            yield from _regular_files(stream)
            _read_to_the_end(stream)
    except EOFError:
        raise _unreadable(path, "it ends too early") from None
    except tarfile.TarError as error:
        raise _unreadable(path, f"what is compressed in it is no tar archive: {error}") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise _unreadable(path, str(error)) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): check the file and its rights.") from error


def _regular_files(stream: gzip.GzipFile) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, content.read()


def _read_to_the_end(stream: gzip.GzipFile) -> None:
    """Makes gzip compare its checksum, which stands behind the last byte."""
    while stream.read(1 << 20):
        pass


def _unreadable(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not a complete .tar.gz ({reason}): replace it with a whole copy, or remove it.")
