"""The file of a checkpoint: torch's zip archive, with the SHA-256 of all of it as the archive's comment.

torch.load does not look at the checksums that a zip archive has for its records, and these do not cover everything.
"""

import hashlib
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import torch

from sluice.plain import Plain

_MARK = b"sha256:"
_COMMENT_LENGTH = len(_MARK) + 2 * hashlib.sha256().digest_size
_LENGTH_FIELD = struct.Struct("<H")
"""The last field of an archive before its comment."""
_BLOCK = 1 << 20


def write(checkpoint: Plain, file: BinaryIO) -> None:
    """Writes a checkpoint with its checksum.

    Raises:
        OSError: if the file cannot be written, a full disk for example; torch itself would raise a RuntimeError.
    """
    archive = _Hashed(file)
    try:
        torch.save(checkpoint, archive)  # type: ignore[arg-type]
    except RuntimeError:
        if archive.error is not None:
            raise archive.error from None
        raise
    if archive.held_back != _LENGTH_FIELD.pack(0):
        raise ValueError("torch.save wrote no zip archive, or one with a comment")
    file.write(_LENGTH_FIELD.pack(_COMMENT_LENGTH) + _MARK + archive.digest.hexdigest().encode())


class _Hashed:
    """Passes on what is written, hashed, and holds the last field of the archive back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()
        self.held_back = b""
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for part in (self.held_back, view[: -_LENGTH_FIELD.size]) if len(view) >= _LENGTH_FIELD.size else ():
            self._pass_on(part)
        if len(view) >= _LENGTH_FIELD.size:
            self.held_back = bytes(view[-_LENGTH_FIELD.size :])
        else:
            whole = self.held_back + bytes(view)
            self._pass_on(whole[: -_LENGTH_FIELD.size])
            self.held_back = whole[-_LENGTH_FIELD.size :]
        return len(view)

    def flush(self) -> None:
        """Nothing to do: the file is flushed when all is written."""

    def _pass_on(self, part: bytes | memoryview) -> None:
        try:
            self._file.write(part)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(part)


def is_intact(path: Path) -> bool:
    """Whether nothing of the file has changed since it was written; of files without the comment, its records.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        end = path.stat().st_size - _COMMENT_LENGTH - _LENGTH_FIELD.size
        digest, left = hashlib.sha256(), max(end, 0)
        while left and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
        tail = file.read()
    if end > 0 and tail.startswith(_LENGTH_FIELD.pack(_COMMENT_LENGTH)):
        return tail[_LENGTH_FIELD.size :] == _MARK + digest.hexdigest().encode()
    return _MARK not in tail and _records_are_whole(path)


def _records_are_whole(path: Path) -> bool:
    """Compares every record of an archive of an earlier version with its CRC-32."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not archive.comment and archive.testzip() is None
    except (ValueError, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error, zipfile.BadZipFile):
        return False
