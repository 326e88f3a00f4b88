"""The rows of one file of labelled texts: CSV, TSV or JSON lines."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sluice.errors import UserError

LONGEST_FIELD = 2**31 - 1
"""Characters in one field of a CSV file; as many as a C long holds on every platform."""


class Row(NamedTuple):
    """One labelled text of a file."""

    line: int
    """The line on which it begins, counted from 1 as editors do."""
    text: str
    label: str


def read_rows(path: Path, *, text_column: str, label_column: str) -> Iterator[Row]:
    """Yields every row of the file in its order; blank lines are passed over.

    Raises:
        UserError: the suffix is unknown, the file is missing or holds no rows, a column is not there, or a row
            cannot be used (too few or too many columns, not UTF-8, no valid JSON, an empty text or label).
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is of an unknown kind: name a file that ends in {', '.join(READERS)}.")
    empty = True
    try:
        for row in reader(path, text_column, label_column):
            empty = False
            yield _checked(path, row)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the file and its rights.") from error
    if empty:
        raise UserError(f"{path} holds no rows: give it at least one labelled text of each class.")


def _checked(path: Path, row: Row) -> Row:
    if not row.text.strip():
        raise UserError(f"{path}, line {row.line}: the text is empty; fill it in or remove the row.")
    if not row.label.strip():
        raise UserError(f"{path}, line {row.line}: the label is empty; fill it in or remove the row.")
    return row._replace(label=row.label.strip())


def _csv_rows(path: Path, text_column: str, label_column: str, *, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a table with a header; quoted fields may hold delimiters and line breaks."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next((fields for fields in reader if fields), None)
        if header is None:
            return
        text_index = _column(path, text_column, header)
        label_index = _column(path, label_column, header)
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                _check_width(path, line, len(fields), len(header), delimiter)
                yield Row(line, fields[text_index], fields[label_index])
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f'{path}, line {line}: the row cannot be read ({error}); quote fields with " and double each " inside.'
        ) from error


def _tsv_rows(path: Path, text_column: str, label_column: str) -> Iterator[Row]:
    return _csv_rows(path, text_column, label_column, delimiter="\t")


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


def _json_rows(path: Path, text_column: str, label_column: str) -> Iterator[Row]:
    """Rows of a file with one JSON object per line."""
    for line, content in enumerate(_lines(path), start=1):
        if content.strip():
            fields = _json_object(path, line, content)
            text = _json_field(path, line, fields, text_column, (str,))
            label = _json_field(path, line, fields, label_column, (str, int))
            yield Row(line, _without_surrogates(path, line, text), _without_surrogates(path, line, label))


def _json_object(path: Path, line: int, content: str) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise UserError(f"{path}, line {line}: no valid JSON ({reason}); put one object on each line.") from error
    if not isinstance(fields, dict):
        raise UserError(f"{path}, line {line}: a JSON {type(fields).__name__}; put one object on each line.")
    return fields


def _json_field(path: Path, line: int, fields: dict[str, Any], name: str, kinds: tuple[type, ...]) -> str:
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


def _lines(path: Path) -> Iterator[str]:
    """Yields the decoded lines with their line breaks; decoding one by one lets an error name its line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8."
                ) from error


READERS: dict[str, Callable[[Path, str, str], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
}
