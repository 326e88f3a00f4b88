"""Files of word vectors: GloVe, fastText's .vec, word2vec text and binary, as streams.

text    a word and its numbers on each line, set apart by single blanks. word2vec and fastText put a header with the
        number of rows and the size in front, GloVe doesn't. A word of GloVe's may hold blanks itself.
binary  the header, then each word, a blank, and its numbers as little-endian float32. The original tool ends each row
        with a line break, others don't.
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
LONGEST_WORD = 2**14
"""Bytes; a binary file in which no word ends for so long is of another kind."""
BLANKS = " \t\n\r\v\f"


class VectorRow(NamedTuple):
    """One word of a file, its numbers not yet read."""

    number: int
    """Of the line in a text file (the header is line 1), of the word in a binary one; from 1 on."""
    word: bytes
    """UTF-8 as a rule."""
    numbers: bytes


class WordVectors(NamedTuple):
    """Words and their vectors."""

    words: list[str]
    vectors: NDArray[np.float32]
    """(N, D)."""


class VectorFile:
    """An open file of word vectors, of whichever kind it is; to be used as a context manager and read once.

    A name in .bin (or .bin.gz) says binary; else the first row does. A name in .gz is unpacked on the way.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the file cannot be read, is empty, a .zip, or begins neither with a header nor with a word and
                its numbers.
        """
        self.path = path
        if path.suffix == ".zip":
            raise UserError(f"{path} holds several files: unpack it and name one of them.")
        try:
            packed: IO[bytes] = path.open("rb")
            self._file = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
            self._first = self._file.readline(2**24)
            self._second = self._file.readline(2**24)
        except OSError as error:
            raise unreadable(path, error) from error
        self.num_rows, self.size = self._read_header()
        """The header's number of rows, None without one; and the numbers of each vector."""
        self.binary = self.num_rows is not None and (_says_binary(path) or not _is_text(self._second))

    def __enter__(self) -> "VectorFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def _read_header(self) -> tuple[int | None, int]:
        fields = self._first.split()
        if len(fields) == 2 and all(field.isdigit() for field in fields):
            rows, size = (int(field) for field in fields)
            if rows < 1 or size < 1:
                raise UserError(f"{self.path}, line 1: the header says {rows} rows of {size} numbers: an empty file.")
            return rows, size
        if _says_binary(self.path):
            raise UserError(
                f"{self.path} is no binary word2vec file, which begins with the number of rows and of units; "
                "of a fastText model name the .vec file."
            )
        size = _numbers_at_the_end(fields)
        if not size:
            raise UserError(
                f"{self.path}, line 1: expected a word and its numbers, or the number of rows and of units, "
                f"got {self._first[:40]!r}."
            )
        return None, size

    def rows(self) -> Iterator[VectorRow]:
        """Yields every row in the file's order; the width of each is checked, its numbers are not yet read.

        Raises:
            UserError: a row has more or fewer numbers than the header or the first row, the header tells another
                number of rows than there are, or the file cannot be read on.
        """
        count = 0
        try:
            for row in self._binary_rows() if self.binary else self._text_rows():
                count += 1
                yield row
        except (OSError, EOFError) as error:
            raise UserError(f"{self.path} cannot be read to its end ({error}): get it anew.") from error
        if self.num_rows is not None and count != self.num_rows:
            raise UserError(
                f"{self.path}: the header tells {self.num_rows} rows, the file has {count}; "
                "correct the header or get the file anew."
            )

    def numbers(self, row: VectorRow) -> NDArray[np.float32]:
        """(D,) the vector of a row.

        Raises:
            UserError: if something in it is no finite number.
        """
        try:
            vector = _from_bytes(row.numbers) if self.binary else _from_text(row.numbers)
        except ValueError:
            raise UserError(f"{self._place(row.number)}: the numbers cannot be read, {row.numbers[:40]!r}.") from None
        if not np.isfinite(vector).all():
            raise UserError(f"{self._place(row.number)}: the vector of {_decoded(row.word)!r} is not finite.")
        return vector

    def _place(self, number: int) -> str:
        return f"{self.path}, {'row' if self.binary else 'line'} {number}"

    def _text_rows(self) -> Iterator[VectorRow]:
        for number, line in enumerate(self._lines(), start=1 if self.num_rows is None else 2):
            content = line.rstrip(b" \r\n")
            word, _, numbers = content.partition(b" ")
            if content and content.count(b" ") != self.size:
                word, numbers = self._word_with_blanks(number, content)
            if content:
                yield VectorRow(number, word, numbers)

    def _lines(self) -> Iterator[bytes]:
        if self.num_rows is None:
            yield self._first
        yield self._second
        yield from self._file

    def _word_with_blanks(self, number: int, content: bytes) -> tuple[bytes, bytes]:
        fields = content.split(b" ")
        found = _numbers_at_the_end(fields)
        if found != self.size:
            told = "the first row" if self.num_rows is None else "the header"
            raise UserError(
                f"{self._place(number)}: the row has {found} numbers, {told} says {self.size}; "
                "every row must have as many."
            )
        return b" ".join(fields[: -self.size]), b" ".join(fields[-self.size :])

    def _binary_rows(self) -> Iterator[VectorRow]:
        buffer, place, width = self._second, 0, 4 * self.size
        for number in range(1, (self.num_rows or 0) + 1):
            blank = buffer.find(b" ", place)
            while blank < 0 or len(buffer) < blank + 1 + width:
                if blank < 0 and len(buffer) - place > LONGEST_WORD:
                    raise UserError(f"{self._place(number)}: no word ends here; is this a word2vec file at all?")
                more = self._file.read(CHUNK)
                if not more:
                    return
                buffer, place = buffer[place:] + more, 0
                blank = buffer.find(b" ")
            end = blank + 1 + width
            yield VectorRow(number, buffer[place:blank].lstrip(b"\n"), buffer[blank + 1 : end])
            place = end
        rest = (buffer[place:] + self._file.read(CHUNK)).strip(b"\n")
        if rest:
            raise UserError(
                f"{self.path}: the file goes on after the {self.num_rows} rows of {self.size} numbers that the "
                "header tells; correct the header or get the file anew."
            )


def read_vectors(path: Path) -> WordVectors:
    """All words and vectors of a file; of a word that comes twice, the first.

    Raises:
        UserError: as `VectorFile` does.
    """
    with VectorFile(path) as file:
        found: dict[str, NDArray[np.float32]] = {}
        for row in file.rows():
            word = _decoded(row.word)
            if word not in found:
                found[word] = file.numbers(row)
        return WordVectors(list(found), np.stack(list(found.values())))


def write_vectors(path: Path, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Writes word2vec text format: a header, then a word and its numbers a line, exact to the last bit.

    Args:
        path: the file, replaced in one step if it is there.
        words: N words without blanks.
        vectors: (N, D).

    Raises:
        UserError: a word is empty or holds a blank, or the file cannot be written.
        ValueError: if there are not as many vectors as words.
    """
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(f"{len(words)} words need as many rows, got an array of shape {vectors.shape}")
    form = " ".join(["%.9g"] * vectors.shape[1])
    try:
        with atomic_file(path) as file:
            file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
            for word, vector in zip(words, vectors, strict=True):
                if not word or any(blank in word for blank in BLANKS):
                    raise UserError(f"the word {word!r} cannot be written: the format sets words apart by blanks.")
                file.write(f"{word} {form % tuple(vector.tolist())}\n".encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): name another file.") from error


def _says_binary(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".bin")


def _is_text(line: bytes) -> bool:
    """Whether a row ends in a number that one can read rather than in the bytes of a float32."""
    return _numbers_at_the_end(line.rstrip(b" \r\n").split(b" ")) > 0


def _from_bytes(numbers: bytes) -> NDArray[np.float32]:
    return np.frombuffer(numbers, dtype="<f4").astype(np.float32)


def _from_text(numbers: bytes) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.array([float(field) for field in numbers.split(b" ")]).astype(np.float32)


def _numbers_at_the_end(fields: list[bytes]) -> int:
    """How many of the fields, the first aside, are numbers, counted from the end."""
    for count, field in enumerate(reversed(fields[1:])):
        try:
            float(field)
        except ValueError:
            return count
    return max(len(fields) - 1, 0)


def _decoded(word: bytes) -> str:
    return word.decode("utf-8", errors="replace")
