"""Streaming reader and writer of word vector files: GloVe, fastText (.vec), word2vec text and binary.

text    a word and its numbers on each line, separated by single spaces. word2vec and fastText files start with a header
        of the number of rows and the dimension, GloVe files do not. Words of GloVe files may contain spaces.
binary  the header, then for each word the word, a space, and its numbers as little-endian float32. The original tool
        ends each row with a line break, others do not.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError, unreadable
from sluice.files import atomic_file

CHUNK = 2**20
MAX_WORD_SIZE = 2**14
"""Maximum bytes of a word in a binary file."""
WHITESPACE = " \t\n\r\v\f"


class VectorRow(NamedTuple):
    """A word of a file and its unparsed numbers."""

    number: int
    """Line number of a text file (including the header) or row number of a binary file, starting at 1."""
    word: bytes
    """Usually UTF-8."""
    numbers: bytes


class WordVectors(NamedTuple):
    """Words and their vectors."""

    words: list[str]
    vectors: NDArray[np.float32]
    """(N, D)."""


class VectorFile:
    """An open file of word vectors; a context manager that can be iterated once.

    Binary files are recognised by their name (.bin, .bin.gz) or their first row; .gz files are decompressed.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: if the file cannot be read, is a .zip archive, or starts with neither a header nor a word and
                its numbers.
        """
        self.path = path
        if path.suffix == ".zip":
            raise UserError(f"{path} is an archive: unpack it and use one of its files")
        try:
            packed: IO[bytes] = path.open("rb")
            self._file = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
            self._first = self._file.readline(2**24)
            self._second = self._file.readline(2**24)
        except OSError as error:
            raise unreadable(path, error) from error
        self.num_rows, self.size = self._read_header()
        """Number of rows according to the header, or None; and dimension of the vectors."""
        self.binary = self.num_rows is not None and (_has_binary_suffix(path) or not _is_text(self._second))

    def __enter__(self) -> "VectorFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def _read_header(self) -> tuple[int | None, int]:
        fields = self._first.split()
        if len(fields) == 2 and all(field.isdigit() for field in fields):
            rows, size = (int(field) for field in fields)
            if rows < 1 or size < 1:
                raise UserError(
                    f"{self.path}, line 1: the header declares {rows} rows of {size} numbers; both must be at least 1"
                )
            return rows, size
        if _has_binary_suffix(self.path):
            raise UserError(
                f"{self.path} is not a binary word2vec file: expected a header with the number of rows and the "
                "dimension; for a fastText model, use the .vec file"
            )
        size = _count_trailing_numbers(fields)
        if not size:
            raise UserError(
                f"{self.path}, line 1: expected a word and its numbers, or the number of rows and the dimension, "
                f"got {self._first[:40]!r}"
            )
        return None, size

    def rows(self) -> Iterator[VectorRow]:
        """Yields all rows in order, with their numbers unparsed.

        Raises:
            UserError: if the number of numbers in a row or the number of rows is wrong, or the file is truncated.
        """
        count = 0
        try:
            for row in self._binary_rows() if self.binary else self._text_rows():
                count += 1
                yield row
        except (OSError, EOFError) as error:
            raise UserError(f"{self.path} cannot be read to its end ({error}): download it again") from error
        if self.num_rows is not None and count != self.num_rows:
            raise UserError(
                f"{self.path}: the header declares {self.num_rows} rows, but the file has {count}: "
                "correct the header or download the file again"
            )

    def numbers(self, row: VectorRow) -> NDArray[np.float32]:
        """Parses the (D,) vector of a row.

        Raises:
            UserError: if a number is invalid or not finite.
        """
        try:
            vector = _from_bytes(row.numbers) if self.binary else _from_text(row.numbers)
        except ValueError:
            raise UserError(f"{self._location(row.number)}: invalid numbers {row.numbers[:40]!r}") from None
        if not np.isfinite(vector).all():
            raise UserError(f"{self._location(row.number)}: the vector of {_decode(row.word)!r} is not finite")
        return vector

    def _location(self, number: int) -> str:
        return f"{self.path}, {'row' if self.binary else 'line'} {number}"

    def _text_rows(self) -> Iterator[VectorRow]:
        for number, line in enumerate(self._lines(), start=1 if self.num_rows is None else 2):
            content = line.rstrip(b" \r\n")
            word, _, numbers = content.partition(b" ")
            if content and content.count(b" ") != self.size:
                word, numbers = self._word_with_spaces(number, content)
            if content:
                yield VectorRow(number, word, numbers)

    def _lines(self) -> Iterator[bytes]:
        if self.num_rows is None:
            yield self._first
        yield self._second
        yield from self._file

    def _word_with_spaces(self, number: int, content: bytes) -> tuple[bytes, bytes]:
        fields = content.split(b" ")
        found = _count_trailing_numbers(fields)
        if found != self.size:
            reference = "the first row" if self.num_rows is None else "the header"
            raise UserError(f"{self._location(number)}: expected {self.size} numbers as in {reference}, got {found}")
        return b" ".join(fields[: -self.size]), b" ".join(fields[-self.size :])

    def _binary_rows(self) -> Iterator[VectorRow]:
        buffer, position, width = self._second, 0, 4 * self.size
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
            yield VectorRow(number, buffer[position:space].lstrip(b"\n"), buffer[space + 1 : end])
            position = end
        rest = (buffer[position:] + self._file.read(CHUNK)).strip(b"\n")
        if rest:
            raise UserError(
                f"{self.path}: unexpected data after the {self.num_rows} rows of {self.size} numbers declared in the "
                "header: correct the header or download the file again"
            )


def read_vectors(path: Path) -> WordVectors:
    """Reads all words and vectors of a file; of repeated words, the first is kept.

    Raises:
        UserError: if the file is invalid, see `VectorFile`.
    """
    with VectorFile(path) as file:
        found: dict[str, NDArray[np.float32]] = {}
        for row in file.rows():
            word = _decode(row.word)
            if word not in found:
                found[word] = file.numbers(row)
        return WordVectors(list(found), np.stack(list(found.values())))


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
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another path") from error


def _has_binary_suffix(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".bin")


def _is_text(line: bytes) -> bool:
    """Returns whether a row ends with a decimal number rather than the bytes of a float32."""
    return _count_trailing_numbers(line.rstrip(b" \r\n").split(b" ")) > 0


def _from_bytes(numbers: bytes) -> NDArray[np.float32]:
    return np.frombuffer(numbers, dtype="<f4").astype(np.float32)


def _from_text(numbers: bytes) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.array([float(field) for field in numbers.split(b" ")]).astype(np.float32)


def _count_trailing_numbers(fields: list[bytes]) -> int:
    """Returns the number of trailing fields that are numbers, excluding the first field."""
    for count, field in enumerate(reversed(fields[1:])):
        try:
            float(field)
        except ValueError:
            return count
    return max(len(fields) - 1, 0)


def _decode(word: bytes) -> str:
    return word.decode("utf-8", errors="replace")
