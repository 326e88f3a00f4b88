"""Atomic writing of files, and the check that this process may still write."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol


class Guard(Protocol):
    """Decides whether this process may still write to the run folder."""

    def check(self) -> None:
        """Verifies on the file system that this process may write.

        Raises:
            UserError: if it may not.
        """

    @property
    def lost(self) -> bool:
        """Whether an earlier check failed; cheap enough to be read in each batch."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that is replaced atomically: readers see either the old or the new content.

    The content is written to a temporary file in the same folder, synced to disk and then renamed.

    Args:
        path: the file; its folder must exist.

    Yields:
        The file, open for writing bytes.

    Raises:
        OSError: if it cannot be written; the file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file atomically, see `atomic_file`; text is encoded as UTF-8.

    Raises:
        OSError: if it cannot be written; the file is then unchanged.
    """
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
