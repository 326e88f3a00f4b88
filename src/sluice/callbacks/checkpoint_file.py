"""The file of a checkpoint: torch's zip archive, with the SHA-256 of all of it as the archive's comment.

torch.load does not look at the checksums that a zip archive has for its records, and these do not cover everything.
"""

import hashlib
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

_MARK = b"sha256:"
_COMMENT_LENGTH = len(_MARK) + 2 * hashlib.sha256().digest_size
_LENGTH_FIELD = struct.Struct("<H")
"""The last field of an archive before its comment."""


def to_bytes(checkpoint: dict[str, Any]) -> bytes:
    """A checkpoint as the content of its file."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    archive = buffer.getvalue()
    if not archive.endswith(_LENGTH_FIELD.pack(0)):
        raise ValueError("torch.save wrote no zip archive, or one with a comment")
    body = archive[: -_LENGTH_FIELD.size]
    return body + _LENGTH_FIELD.pack(_COMMENT_LENGTH) + _comment_for(body)


def is_whole(path: Path) -> bool:
    """Whether nothing of the file has changed since it was written; of files without the comment, its records.

    Raises:
        OSError: if it cannot be read.
    """
    content = path.read_bytes()
    end = len(content) - _COMMENT_LENGTH - _LENGTH_FIELD.size
    body, comment = content[: max(end, 0)], content[-_COMMENT_LENGTH:]
    if end > 0 and content[end:-_COMMENT_LENGTH] == _LENGTH_FIELD.pack(_COMMENT_LENGTH):
        return comment == _comment_for(body)
    return not comment.startswith(_MARK) and _records_are_whole(content)


def _comment_for(body: bytes) -> bytes:
    return _MARK + hashlib.sha256(body).hexdigest().encode()


def _records_are_whole(content: bytes) -> bool:
    """Compares every record of an archive of an earlier version with its CRC-32."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return not archive.comment and archive.testzip() is None
    except (ValueError, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error, zipfile.BadZipFile):
        return False
