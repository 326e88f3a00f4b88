"""Writing tables: CSV, TSV and JSON Lines, optionally compressed."""

import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from sluice.data.corpora.table_files import format_of, listed, quoted, seems_rows
from sluice.errors import UserError, reason_of
from sluice.files import atomic_file
from sluice.plain import PlainMapping
from sluice.text.lines import is_packed

UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""Characters of JSON strings that a text file cannot contain: zero bytes and lone surrogates."""


def write_table(path: Path, rows: Iterable[PlainMapping]) -> None:
    """Writes rows to a table, which is replaced atomically if it exists.

    Args:
        path: file that ends in .csv, .tsv, .jsonl or .ndjson, optionally followed by .gz.
        rows: the rows. In JSON Lines their values keep their types. In CSV and TSV the first row has all columns,
            missing values are empty, booleans, lists and dicts are JSON, and U+FFFD replaces `UNWRITABLE` characters.

    Raises:
        UserError: if the suffix is unknown, the file cannot be written, or a row of a CSV or TSV file has a column that
            the first row does not have.
    """
    check_table_path(path)
    try:
        with atomic_file(path) as file, _packed(file) if is_packed(path) else nullcontext(file) as target:
            for line in _formatted(path, rows):
                target.write(line.encode("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({reason_of(error)}): choose another path") from error


def _packed(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode="wb", mtime=0)


def check_table_path(path: Path) -> None:
    """Checks that a table can be written to a path.

    Raises:
        UserError: if its suffix is not that of a format that `write_table` writes.
    """
    if format_of(path) not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        raise UserError(f"{path} cannot be written: use a name that ends in .csv, .tsv or .jsonl")


def _formatted(path: Path, rows: Iterable[PlainMapping]) -> Iterator[str]:
    """Yields the lines of a table, in CSV and TSV after a header."""
    if format_of(path) in (".jsonl", ".ndjson"):
        yield from map(_json_line, rows)
        return
    delimiter = "\t" if format_of(path) == ".tsv" else ","
    header: PlainMapping = {}
    for number, row in enumerate(rows, start=1):
        if number == 1:
            header = dict.fromkeys(row)
            yield _delimited(header, delimiter)
        new = next((name for name in row if name not in header), None)
        if new is not None:
            raise UserError(
                f"{path} cannot be written: row {number} has the column {listed([new])}, which the first row does not "
                "have; use a name that ends in .jsonl"
            )
        yield _delimited((row.get(name) for name in header), delimiter)


def _json_line(row: PlainMapping) -> str:
    """Returns a line of a JSON Lines file, in ASCII if it has a lone surrogate, which UTF-8 cannot encode."""
    line = json.dumps(row, ensure_ascii=False, default=str)
    return (json.dumps(row, default=str) if UNWRITABLE.search(line) else line) + "\n"


def _delimited(values: Iterable[object], delimiter: str) -> str:
    """Returns a row of a CSV or TSV file; see `_check_fields` for the rows of which every field is quoted."""
    fields = [UNWRITABLE.sub("\ufffd", _field(value)) for value in values]
    if delimiter == "\t" and seems_rows(fields):
        return quoted(fields) + "\n"
    line = StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return line.getvalue()


def _field(value: object) -> str:
    """Returns a value as text: "" for null, JSON for booleans, lists and dicts."""
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
