"""Reading text files: lines, rows of tables and tagged words; whatever is wrong is one sentence."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sluice.data.corpora.download import limit_size
from sluice.data.corpus import Tagged
from sluice.errors import UserError, reading
from sluice.plain import Plain

MAX_FIELD_SIZE = 2**31 - 1
"""Characters in one field of a CSV file; as many as a C long holds on every platform."""


def decoded_lines(
    raw_lines: Iterable[bytes], name: str | Path, *, keep_ends: bool = False, refuse_binary: bool = True
) -> Iterator[str]:
    """The lines of a UTF-8 text; a byte-order mark is no part of it.

    Args:
        raw_lines: with their ends.
        name: of the text, for messages.
        keep_ends: leave the line breaks where they are.
        refuse_binary: refuse zero bytes, which no running text has.

    Raises:
        UserError: if it is not text, naming the file and the byte.
    """
    place = 0
    for number, raw in enumerate(raw_lines, start=1):
        if refuse_binary and b"\0" in raw:
            raise UserError(f"{name} is binary (byte {place + raw.index(0):,} is zero): give a text file")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            bad = place + error.start + len(raw) - len(error.object)  # which is without the mark
            raise UserError(f"{name} is not UTF-8 at byte {bad:,} (line {number:,}): save it as UTF-8") from error
        place += len(raw)
        yield text if keep_ends else text.rstrip("\r\n")


def file_lines(path: Path) -> Iterator[str]:
    """`decoded_lines` of a file with a running text.

    Raises:
        UserError: also if it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        yield from decoded_lines(file, path)


def line_end_size(path: Path) -> int:
    """Bytes that end a line of a file, by its first one.

    Raises:
        UserError: if it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return 2 if file.readline().endswith(b"\r\n") else 1


def read_lines(path: Path, known_bytes: int | None = None, *, keep_ends: bool = False) -> Iterator[str]:
    """Yields the lines of a file, plain or gzipped (.gz); they may hold any character.

    Args:
        path: of the file.
        known_bytes: of a published file, expanded; None for a file of any size.
        keep_ends: leave the line breaks where they are.

    Raises:
        UserError: the file is missing, damaged, no UTF-8 (the line is named) or far larger than is known.
    """
    with reading(path), _opened(path, known_bytes) as file:
        yield from decoded_lines(file, path, keep_ends=keep_ends, refuse_binary=False)


@contextmanager
def _opened(path: Path, known_bytes: int | None) -> Iterator[BinaryIO]:
    if path.suffix != ".gz":
        with path.open("rb") as file:
            yield file
        return
    try:
        with gzip.open(path, "rb") as packed:
            yield packed if known_bytes is None else limit_size(packed, path, known_bytes)  # type: ignore[arg-type, misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} ends too early or is no gzip file: replace it with a complete copy.") from error


class Row(NamedTuple):
    """One labelled text of a file, or several that belong together."""

    line: int
    """The line on which it begins, counted from 1 as editors do."""
    texts: tuple[str, ...]
    label: str


def read_rows(path: Path, *, text_columns: Sequence[str], label_column: str) -> Iterator[Row]:
    """Yields every row of the file in its order; blank lines are passed over.

    Args:
        path: ends in .csv, .tsv, .jsonl or .ndjson.
        text_columns: columns or keys with the texts.
        label_column: column or key with the class.

    Raises:
        UserError: the suffix is unknown, the file is missing or holds no rows, a column is not there, or a row
            cannot be used (too few or too many columns, not UTF-8, no valid JSON, an empty text or label).
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is of an unknown kind: name a file that ends in {', '.join(READERS)}.")
    empty = True
    for row in reader(path, text_columns, label_column):
        empty = False
        yield _checked(path, row)
    if empty:
        raise UserError(f"{path} holds no rows: give it at least one labelled text of each class.")


def _checked(path: Path, row: Row) -> Row:
    if not all(text.strip() for text in row.texts):
        raise UserError(f"{path}, line {row.line}: the text is empty; fill it in or remove the row.")
    if not row.label.strip():
        raise UserError(f"{path}, line {row.line}: the label is empty; fill it in or remove the row.")
    return row._replace(label=row.label.strip())


def _csv_rows(path: Path, text_columns: Sequence[str], label_column: str, *, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a table with a header; quoted fields may hold delimiters and line breaks."""
    csv.field_size_limit(MAX_FIELD_SIZE)
    reader = csv.reader(read_lines(path, keep_ends=True), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next((fields for fields in reader if fields), None)
        if header is None:
            return
        text_indices = [_column(path, name, header) for name in text_columns]
        label_index = _column(path, label_column, header)
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                _check_width(path, line, len(fields), len(header), delimiter)
                yield Row(line, tuple(fields[index] for index in text_indices), fields[label_index])
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f'{path}, line {line}: the row cannot be read ({error}); quote fields with " and double each " inside.'
        ) from error


def _tsv_rows(path: Path, text_columns: Sequence[str], label_column: str) -> Iterator[Row]:
    return _csv_rows(path, text_columns, label_column, delimiter="\t")


def _check_width(path: Path, line: int, found: int, expected: int, delimiter: str) -> None:
    if found != expected:
        name = "tab" if delimiter == "\t" else "comma"
        raise UserError(
            f"{path}, line {line}: the row has {found} column(s) and the header {expected}; "
            f"put what is missing, or quote a text that holds a {name}."
        )


def _column(path: Path, name: str, header: list[str]) -> int:
    if name not in header:
        raise UserError(f"{path} has no column {name!r}: choose one of {', '.join(map(repr, header))}.")
    return header.index(name)


def _json_rows(path: Path, text_columns: Sequence[str], label_column: str) -> Iterator[Row]:
    """Rows of a file with one JSON object per line."""
    for line, content in enumerate(read_lines(path, keep_ends=True), start=1):
        if content.strip():
            fields = _json_object(path, line, content)
            texts = [_json_field(path, line, fields, name, (str,)) for name in text_columns]
            label = _json_field(path, line, fields, label_column, (str, int))
            *texts, label = (_without_surrogates(path, line, value) for value in (*texts, label))
            yield Row(line, tuple(texts), label)


def _json_object(path: Path, line: int, content: str) -> Plain:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise UserError(f"{path}, line {line}: no valid JSON ({reason}); put one object on each line.") from error
    if not isinstance(fields, dict):
        raise UserError(f"{path}, line {line}: a JSON {type(fields).__name__}; put one object on each line.")
    return fields


def _json_field(path: Path, line: int, fields: Plain, name: str, kinds: tuple[type, ...]) -> str:
    """The field as str, "" for null."""
    if name not in fields:
        raise UserError(f"{path}, line {line}: no field {name!r}; choose one of {', '.join(map(repr, fields))}.")
    value = fields[name]
    if value is None:
        return ""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{path}, line {line}: {name!r} is a {type(value).__name__}; make it {expected}.")
    return str(value)


def _without_surrogates(path: Path, line: int, value: str) -> str:
    r"""Refuses half a character, which JSON can spell ("\ud83d") and no file can store."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{path}, line {line}: {value[error.start]!a} is half a character; remove it.") from error
    return value


READERS: dict[str, Callable[[Path, Sequence[str], str], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
}


def read_tagged(path: Path, *, known_tags: tuple[str, ...] | None = None) -> Iterator[Tagged]:
    """Yields the sentences of a file: a word and its label on each line, an empty line after each sentence.

    The two stand apart by a tab, or else by blanks; the file is in UTF-8.

    Args:
        path: the file.
        known_tags: the labels there may be; None for any.

    Raises:
        UserError: the file is missing or holds no sentence, or a line has not two columns, isn't UTF-8 or has an
            unknown label.
    """
    words: list[str] = []
    tags: list[str] = []
    empty = True
    for number, line in enumerate(read_lines(path), start=1):
        line = line.strip("\r\n ")
        fields = line.split("\t") if "\t" in line else line.split()
        if fields and len(fields) != 2:
            raise UserError(
                f"{path}, line {number}: {len(fields)} column(s), expected 2, a word and its label; "
                "end a sentence with an empty line."
            )
        if fields and known_tags is not None and fields[1] not in known_tags:
            raise UserError(
                f"{path}, line {number}: the model was not trained on the tag {fields[1]!r}, it knows "
                f"{', '.join(known_tags)}: correct it or remove the sentence"
            )
        if fields:
            words.append(fields[0])
            tags.append(fields[1])
        elif words:
            empty = False
            yield Tagged(tuple(words), tuple(tags))
            words, tags = [], []
    if words:
        yield Tagged(tuple(words), tuple(tags))
    elif empty:
        raise UserError(f"{path} holds no sentence: give it a word and its label on each line.")
