"""Streaming reader and writer of word vector files: GloVe, fastText (.vec), word2vec text and binary.

text    a word and its numbers on each line, separated by blanks or tabs. word2vec and fastText files start with a
        header of the number of rows and the dimension, GloVe files do not. Words of GloVe files may contain spaces.
binary  the header, then for each word the word, a space, and its numbers as little-endian float32. The original tool
        ends each row with a line break, others do not.
"""

import codecs
import gzip
import io
import logging
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError, reason_of
from sluice.files import atomic_file
from sluice.text.lines import check_first_line, is_packed, read_errors

CHUNK = 2**20
MAX_LINE = 2**24
MAX_WORD_SIZE = 2**14
"""Maximum bytes of a word in a binary file."""
SAMPLED_LINES = 100
"""Lines from which the dimension of a file without a header is determined."""
WHITESPACE = " \t\n\r\v\f"
_FASTTEXT = (793712314).to_bytes(4, "little")
"""First bytes of a fastText model."""
log = logging.getLogger(__name__)


class VectorRow(NamedTuple):
    """A word of a file and its unparsed numbers."""

    number: int
    """Line number of a text file (including the header) or row number of a binary file, starting at 1."""
    word: str
    numbers: bytes


class WordVectors(NamedTuple):
    """Words and their vectors."""

    words: list[str]
    vectors: NDArray[np.float32]
    """(N, D)."""


class VectorFile:
    """An open file of word vectors; a context manager that can be iterated once.

    Binary files are recognised by their name (.bin, .bin.gz) or their first row; .gz and .zip files are decompressed.
    Without a header, the dimension is that of most of the first rows.

    Args:
        path: the file.
        size: expected dimension, which selects the member of a .zip archive with several files, by names such as
            glove.6B.100d.txt.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        """
        Raises:
            UserError: if the file cannot be read, is a .zip archive without a single matching file, or starts with
                neither a header nor a word and its numbers.
        """
        self.path = path
        with read_errors(path):
            self._file = _open(path, size)
            blank, first = self._first_lines()
        self._reference = "the header"
        self.num_rows, self.size = self._read_header(blank + 1, first)
        """Number of rows according to the header, or None; and dimension of the vectors."""
        self.binary = self.num_rows is not None and (_has_binary_suffix(path) or not self._second_is_text())
        self._first_number = blank + (1 if self.num_rows is None else 2)

    def __enter__(self) -> "VectorFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def _first_lines(self) -> tuple[int, bytes]:
        """Returns the number of empty first lines and the next line; if it is not the header, `_head` starts with it.

        Sets `_head`, the lines that are already read and follow the header.
        """
        blank, first = 0, self._file.readline(MAX_LINE).removeprefix(codecs.BOM_UTF8)
        if first.startswith(_FASTTEXT):
            raise UserError(f"{self.path} is a fastText model: use the .vec file that is published with it")
        check_first_line(first, self.path)
        while first and not first.strip():
            blank, first = blank + 1, self._file.readline(MAX_LINE)
        header = _header_of(first) is not None
        self._head, length = [] if header else [first], 0
        while len(self._head) < SAMPLED_LINES and length < MAX_LINE:
            line = self._file.readline(MAX_LINE)
            if not line:
                break
            self._head.append(line)
            length += len(line)
        return blank, first

    def _read_header(self, number: int, first: bytes) -> tuple[int | None, int]:
        header = _header_of(first)
        if header is not None:
            rows, size = header
            if rows < 1 or size < 1:
                raise UserError(
                    f"{self.path}, line {number}: the header declares {rows} rows of {size} numbers; "
                    "both must be at least 1"
                )
            return rows, size
        if _has_binary_suffix(self.path):
            raise UserError(
                f"{self.path} is not a binary word2vec file: expected a header with the number of rows and the "
                "dimension; for a fastText model, use the .vec file"
            )
        counts = Counter(count for line in self._head if (count := _count_trailing_numbers(line.split())))
        if not counts:
            raise UserError(
                f"{self.path}, line {number}: expected a word and its numbers, or the number of rows and the "
                f"dimension, got {_shown(first)}"
            )
        ((size, _),) = counts.most_common(1)
        self._reference = "the first row" if _count_trailing_numbers(first.split()) == size else "most rows"
        return None, size

    def _second_is_text(self) -> bool:
        """Returns whether the first row ends with decimal numbers rather than the bytes of a float32."""
        second = next((line for line in self._head if line.strip()), b"")
        return _count_trailing_numbers(second.split()) >= min(self.size, 2)

    def rows(self) -> Iterator[VectorRow]:
        """Yields the rows in order, with their numbers unparsed; rows whose word is empty or not UTF-8 are left out.

        Logs a warning about words that are left out, and about a text file with another number of rows than its header
        declares.

        Raises:
            UserError: if the number of numbers in a row or the number of rows of a binary file is wrong, or the file is
                truncated or damaged.
        """
        count, invalid = 0, 0
        with read_errors(self.path):
            for number, raw, numbers in self._binary_rows() if self.binary else self._text_rows():
                count += 1
                try:
                    word = raw.decode()
                except UnicodeDecodeError:
                    word = ""
                if word:
                    yield VectorRow(number, word, numbers)
                else:
                    invalid += 1
        if invalid:
            log.warning("%s: %d words are empty or not UTF-8 and are left out.", self.path, invalid)
        if self.num_rows is not None and count != self.num_rows:
            self._report_count(self.num_rows, count)

    def _report_count(self, declared: int, count: int) -> None:
        """Reports a number of rows that differs from that of the header.

        Raises:
            UserError: if the file is binary, has no rows, or ends without a line break, within a row.
        """
        if self.binary or not count or (count < declared and not self._ends_with_break):
            raise UserError(
                f"{self.path}: the header declares {declared} rows, but the file has {count}: "
                "correct the header or download the file again"
            )
        log.warning("%s: the header declares %d rows, but the file has %d: all are read.", self.path, declared, count)

    def numbers(self, row: VectorRow) -> NDArray[np.float32]:
        """Parses the (D,) vector of a row.

        Raises:
            UserError: if a number is invalid or not finite.
        """
        try:
            vector = _from_bytes(row.numbers) if self.binary else _from_text(row.numbers)
        except ValueError:
            raise UserError(f"{self._location(row.number)}: invalid numbers {_shown(row.numbers)}") from None
        if not np.isfinite(vector).all():
            raise UserError(f"{self._location(row.number)}: the vector of {row.word!r} is not finite")
        return vector

    def _location(self, number: int) -> str:
        return f"{self.path}, {'row' if self.binary else 'line'} {number}"

    def _text_rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        size, line = self.size, b"\n"
        for number, line in enumerate(chain(self._head, self._file), start=self._first_number):
            content = line.rstrip()
            if content.count(b" ") == size and b"\t" not in content:
                word, _, numbers = content.partition(b" ")
                yield number, word, numbers
            elif content:
                yield number, *self._split_row(number, content)
        self._ends_with_break = line.endswith(b"\n")

    def _split_row(self, number: int, content: bytes) -> tuple[bytes, bytes]:
        """Splits a row that contains tabs, repeated blanks, or a word with blanks."""
        found = _count_trailing_numbers(content.split())
        if found != self.size:
            raise UserError(
                f"{self._location(number)}: expected {self.size} numbers as in {self._reference}, got {found}"
            )
        word, *numbers = content.rsplit(None, self.size)
        return word.lstrip(), b" ".join(numbers)

    def _binary_rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        buffer, position, width = b"".join(self._head), 0, 4 * self.size
        for number in range(1, (self.num_rows or 0) + 1):
            space = buffer.find(b" ", position)
            while space < 0 or len(buffer) < space + 1 + width:
                if space < 0 and len(buffer) - position > MAX_WORD_SIZE:
                    raise UserError(f"{self._location(number)}: word too long; not a binary word2vec file?")
                more = self._file.read(CHUNK)
                if not more:
                    return
                buffer, position = buffer[position:] + more, 0
                space = buffer.find(b" ")
            end = space + 1 + width
            yield number, buffer[position:space].lstrip(b"\n"), buffer[space + 1 : end]
            position = end
        rest = (buffer[position:] + self._file.read(CHUNK)).strip(b"\n")
        if rest:
            raise UserError(
                f"{self.path}: unexpected data after the {self.num_rows} rows of {self.size} numbers declared in the "
                "header: correct the header or download the file again"
            )


def read_vectors(path: Path, size: int | None = None) -> WordVectors:
    """Reads all words and vectors of a file; of repeated words, the first is kept.

    Args:
        path: the file.
        size: selects the file of a .zip archive, see `VectorFile`.

    Raises:
        UserError: if the file is invalid, see `VectorFile`, or has no words.
    """
    with VectorFile(path, size) as file:
        found: dict[str, NDArray[np.float32]] = {}
        repeated = 0
        for row in file.rows():
            if row.word in found:
                repeated += 1
            else:
                found[row.word] = file.numbers(row)
    log_repeated(path, repeated)
    if not found:
        raise UserError(f"{path} has no words that are UTF-8: convert it to UTF-8 or use another file")
    return WordVectors(list(found), np.stack(list(found.values())))


def _shown(content: bytes | str) -> str:
    """The beginning of a line in quotes, for messages."""
    return repr(content[:40] if isinstance(content, str) else content[:40].decode("utf-8", "replace").rstrip("\r\n"))


def log_repeated(path: Path, count: int) -> None:
    """Logs the number of rows that are ignored since their words occurred before, if there are any."""
    if count:
        log.info("%s: %d rows repeat a word; the first vector of each word is used.", path, count)


def write_vectors(path: Path, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Writes vectors in word2vec text format, with enough digits to restore float32 exactly.

    Args:
        path: the file, replaced atomically if it exists.
        words: N words without whitespace.
        vectors: (N, D).

    Raises:
        UserError: if a word is empty or contains whitespace, or the file cannot be written.
        ValueError: if the numbers of words and vectors differ.
    """
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(f"expected an array of {len(words)} rows, one per word, got shape {vectors.shape}")
    form = " ".join(["%.9g"] * vectors.shape[1])
    try:
        with atomic_file(path) as file:
            file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
            for word, vector in zip(words, vectors, strict=True):
                if not word or any(space in word for space in WHITESPACE):
                    raise UserError(f"the word {word!r} cannot be written: it is empty or contains whitespace")
                file.write(f"{word} {form % tuple(vector.tolist())}\n".encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({reason_of(error)}): choose another path") from error


def _open(path: Path, size: int | None) -> IO[bytes]:
    if is_packed(path):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix.lower() != ".zip":
        return path.open("rb")
    with zipfile.ZipFile(path) as archive:  # an open member keeps the file open
        member = _member(path, archive, size)
        try:
            return io.BufferedReader(cast(io.RawIOBase, archive.open(member)), CHUNK)
        except RuntimeError as error:  # encrypted, or compressed by an unsupported method
            raise UserError(f"{path} cannot be read ({error}): unpack it and use one of its files") from error


def _member(path: Path, archive: zipfile.ZipFile, size: int | None) -> zipfile.ZipInfo:
    """Returns the only file of an archive, or the only one whose name contains the dimension.

    Raises:
        UserError: if there is none, or more than one.
    """
    files = [member for member in archive.infolist() if not member.is_dir() and "__MACOSX/" not in member.filename]
    chosen = files if len(files) == 1 else [member for member in files if f".{size}d." in member.filename]
    if len(chosen) != 1:
        names = ", ".join(member.filename for member in files[:8]) or "none"
        raise UserError(f"{path} is an archive of {len(files)} files ({names}): unpack it and use one of its files")
    return chosen[0]


def _has_binary_suffix(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".bin")


def _header_of(line: bytes) -> tuple[int, int] | None:
    """Returns the number of rows and the dimension, None if the line is not a header."""
    fields = line[:100].split()
    return (int(fields[0]), int(fields[1])) if len(fields) == 2 and all(map(bytes.isdigit, fields)) else None


def _from_bytes(numbers: bytes) -> NDArray[np.float32]:
    return np.frombuffer(numbers, dtype="<f4").astype(np.float32)


def _from_text(numbers: bytes) -> NDArray[np.float32]:
    if b"_" in numbers:
        raise ValueError("Python accepts 1_000")
    with np.errstate(over="ignore"):
        return np.array(list(map(float, numbers.split(b" ")))).astype(np.float32)


def _count_trailing_numbers(fields: list[bytes]) -> int:
    """Returns the number of trailing fields that are numbers, excluding the first field."""
    for count, field in enumerate(reversed(fields[1:])):
        try:
            float(field)
        except ValueError:
            return count
    return max(len(fields) - 1, 0)
