"""Reading of tables and of tagged words."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sluice.data.corpus import TaggedSentence
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.text.lines import read_lines

MAX_FIELD_SIZE = 2**31 - 1
"""Maximum number of characters of a CSV field; the largest C long on every platform."""


class Row(NamedTuple):
    """A labelled text, or several texts with one label."""

    line: int
    """First line of the row, counted from 1."""
    texts: tuple[str, ...]
    label: str


def read_rows(path: Path, *, text_columns: Sequence[str], label_column: str) -> Iterator[Row]:
    """Yields the rows of a file in order; blank lines are skipped.

    Args:
        path: file with the suffix .csv, .tsv, .jsonl or .ndjson.
        text_columns: columns or keys of the texts.
        label_column: column or key of the class.

    Raises:
        UserError: if the suffix is unknown, the file is missing or has no rows, a column is missing, or a row is
            invalid (too few or too many columns, not UTF-8, not valid JSON, an empty text or label).
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} has an unknown file type: use a file that ends in {', '.join(READERS)}.")
    empty = True
    for row in reader(path, text_columns, label_column):
        empty = False
        yield _checked(path, row)
    if empty:
        raise UserError(f"{path} has no rows: add at least one labelled text of each class.")


def _checked(path: Path, row: Row) -> Row:
    if not all(text.strip() for text in row.texts):
        raise UserError(f"{path}, line {row.line}: the text is empty; fill it in or remove the row.")
    if not row.label.strip():
        raise UserError(f"{path}, line {row.line}: the label is empty; fill it in or remove the row.")
    return row._replace(label=row.label.strip())


def _csv_rows(path: Path, text_columns: Sequence[str], label_column: str, *, delimiter: str = ",") -> Iterator[Row]:
    """Yields the rows of a table with a header; quoted fields may contain delimiters and line breaks."""
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
            f"{path}, line {line}: the row has {found} column(s), but the header has {expected}; "
            f"add the missing columns, or quote texts that contain a {name}."
        )


def _column(path: Path, name: str, header: list[str]) -> int:
    if name not in header:
        raise UserError(f"{path} has no column {name!r}: choose one of {', '.join(map(repr, header))}.")
    return header.index(name)


def _json_rows(path: Path, text_columns: Sequence[str], label_column: str) -> Iterator[Row]:
    """Yields the rows of a file with one JSON object per line."""
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
        raise UserError(f"{path}, line {line}: not valid JSON ({reason}); put one object on each line.") from error
    if not isinstance(fields, dict):
        raise UserError(f"{path}, line {line}: found a JSON {type(fields).__name__}; put one object on each line.")
    return fields


def _json_field(path: Path, line: int, fields: Plain, name: str, kinds: tuple[type, ...]) -> str:
    """Returns the field as str, "" for null."""
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
    r"""Refuses lone surrogates, which are valid in JSON ("\ud83d") but cannot be encoded."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{path}, line {line}: {value[error.start]!a} is a lone surrogate; remove it.") from error
    return value


READERS: dict[str, Callable[[Path, Sequence[str], str], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
}


def read_tagged(path: Path, *, known_tags: tuple[str, ...] | None = None) -> Iterator[TaggedSentence]:
    """Yields the sentences of a UTF-8 file with a word and its label per line and an empty line after each sentence.

    Word and label are separated by a tab or by spaces.

    Args:
        path: path of the file.
        known_tags: allowed labels; None for any.

    Raises:
        UserError: if the file is missing or has no sentences, or a line does not have two columns, is not UTF-8 or has
            an unknown label.
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
                f"{path}, line {number}: the model was not trained on the tag {fields[1]!r}, only on "
                f"{', '.join(known_tags)}: correct the tag or remove the sentence"
            )
        if fields:
            words.append(fields[0])
            tags.append(fields[1])
        elif words:
            empty = False
            yield TaggedSentence(tuple(words), tuple(tags))
            words, tags = [], []
    if words:
        yield TaggedSentence(tuple(words), tuple(tags))
    elif empty:
        raise UserError(f"{path} has no sentences: put a word and its label on each line.")
