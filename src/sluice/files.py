"""Writing files: whole or not at all, and only while this process may."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol


class Guard(Protocol):
    """Decides whether this process may still write to the run's folder."""

    def check(self) -> None:
        """Reads what other processes have written.

        Raises:
            UserError: if this process may not write any more.
        """

    @property
    def lost(self) -> bool:
        """The same from what is known already, cheap enough for every batch."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that is written whole or not at all: readers see the old content or the new, never a part.

    It is written under another name in the same folder, flushed to the disk and then renamed.

    Args:
        path: the file; its folder must exist.

    Yields:
        The file, open for writing bytes.

    Raises:
        OSError: if it cannot be written; the file is then as it was.
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
    """Writes a whole file by `atomic_file`; text is encoded as UTF-8.

    Raises:
        OSError: if it cannot be written; the file is then as it was.
    """
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
