"""Checkpoint files: the zip archive of torch.save, with its SHA-256 as the archive's comment.

torch.load does not verify the checksums of a zip archive, which don't cover the whole file.
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
"""Length of the comment, the last field of an archive before it."""
_BLOCK = 1 << 20


def write(checkpoint: Plain, file: BinaryIO) -> None:
    """Writes a checkpoint with its checksum.

    Raises:
        OSError: if the file cannot be written, for example on a full disk, for which torch.save raises a RuntimeError.
    """
    archive = _Hashed(file)
    try:
        torch.save(checkpoint, archive)  # type: ignore[arg-type]
    except RuntimeError:
        if archive.error is not None:
            raise archive.error from None
        raise
    if archive.withheld != _LENGTH_FIELD.pack(0):
        raise ValueError("torch.save wrote no zip archive, or one with a comment")
    file.write(_LENGTH_FIELD.pack(_COMMENT_LENGTH) + _MARK + archive.digest.hexdigest().encode())


class _Hashed:
    """A file object that hashes what is written, and withholds the last field of the archive."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()
        self.withheld = b""
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for part in (self.withheld, view[: -_LENGTH_FIELD.size]) if len(view) >= _LENGTH_FIELD.size else ():
            self._write(part)
        if len(view) >= _LENGTH_FIELD.size:
            self.withheld = bytes(view[-_LENGTH_FIELD.size :])
        else:
            whole = self.withheld + bytes(view)
            self._write(whole[: -_LENGTH_FIELD.size])
            self.withheld = whole[-_LENGTH_FIELD.size :]
        return len(view)

    def flush(self) -> None:
        """Does nothing; the file is flushed when it is complete."""

    def _write(self, part: bytes | memoryview) -> None:
        try:
            self._file.write(part)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(part)


def is_intact(path: Path) -> bool:
    """Whether the file matches its checksum; for files without a comment, whether the records match their CRC-32.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        end = path.stat().st_size - _COMMENT_LENGTH - _LENGTH_FIELD.size
        digest, remaining = hashlib.sha256(), max(end, 0)
        while remaining and (block := file.read(min(_BLOCK, remaining))):
            digest.update(block)
            remaining -= len(block)
        tail = file.read()
    if end > 0 and tail.startswith(_LENGTH_FIELD.pack(_COMMENT_LENGTH)):
        return tail[_LENGTH_FIELD.size :] == _MARK + digest.hexdigest().encode()
    return _MARK not in tail and _records_are_intact(path)


def _records_are_intact(path: Path) -> bool:
    """Whether all records of an archive without a checksum, from an earlier version, match their CRC-32."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not archive.comment and archive.testzip() is None
    except (ValueError, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error, zipfile.BadZipFile):
        return False
