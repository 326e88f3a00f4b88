"""Reading and writing of tables: CSV, TSV and JSON Lines (also gzipped), Parquet, and saved Hugging Face datasets."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from sluice.errors import UserError, not_empty
from sluice.plain import Plain, PlainMapping
from sluice.text.lines import is_packed, read_errors, read_lines

MAX_FIELD_SIZE = 2**31 - 1
"""Maximum number of characters of a CSV field; the largest C long on every platform."""
MAX_NAME, MAX_NAMES = 40, 10
"""Maximum length and number of column names in a message."""


class TableRow(NamedTuple):
    """A row of a table."""

    line: int
    """First line of the row, counted from 1; number of the row in files without lines."""
    fields: PlainMapping
    """Values of the columns by name (see `_unique`): str, or what JSON or Parquet contain."""


def is_table(path: Path) -> bool:
    """Returns whether a path is that of a table: a file with a known suffix, or a folder."""
    return path.is_dir() or format_of(path) in READERS


def check_kind(path: Path) -> None:
    """Checks the suffix of a table, or that a folder is a saved dataset, without reading it.

    Raises:
        UserError: if the suffix is unknown, or the folder is none or has several datasets.
    """
    if not path.is_dir():
        if format_of(path) not in READERS:
            raise UserError(f"{path} has an unknown file type: use a file that ends in {', '.join(READERS)}")
    elif (path / "dataset_dict.json").is_file():
        splits = [folder.name for folder in sorted(path.iterdir()) if (folder / "state.json").is_file()]
        raise UserError(f"{path} contains several datasets: name one of the folders {listed(splits)} in it")
    elif not (path / "state.json").is_file():
        raise UserError(f"{path} is a folder, but not a saved Hugging Face dataset: give a file or such a folder")


def read_table(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yields the rows of a table in order; blank lines are skipped.

    Args:
        path: file that ends in .csv, .tsv, .jsonl, .ndjson (each optionally followed by .gz) or .parquet, or the
            folder of a saved Hugging Face dataset. A .csv file may be separated by semicolons or tabs instead.
        columns: columns that the table must have.

    Raises:
        UserError: if the suffix is unknown, the file cannot be read or has no rows, a column is missing or occurs
            twice, a row is invalid (too few or too many columns, not valid JSON), or the library that reads the format
            is not installed.
    """
    check_kind(path)
    reader = _dataset_rows if path.is_dir() else READERS[format_of(path)]
    yield from not_empty(reader(path, columns), f"{path} has no rows: add rows below the header")


def read_texts(path: Path, columns: Sequence[str]) -> Iterator[tuple[TableRow, list[str]]]:
    """Yields the rows of a table, each with the texts of the given columns; missing values are empty texts.

    Raises:
        UserError: as `read_table`, or if a value is not text.
    """
    for row in read_table(path, columns):
        yield row, [_text_of(path, row, name) for name in columns]


class LabelledRow(NamedTuple):
    """A labelled text, or several texts with one label."""

    line: int
    """See `TableRow`."""
    texts: tuple[str, ...]
    label: str


def read_labelled(path: Path, *, text_columns: Sequence[str], label_column: str) -> Iterator[LabelledRow]:
    """Yields the labelled rows of a table in order.

    Args:
        path: see `read_table`.
        text_columns: columns of the texts.
        label_column: column of the class: text, a whole number or a boolean.

    Raises:
        UserError: as `read_table`, or if a text or label is empty or of another type.
    """
    for row in read_table(path, [*text_columns, label_column]):
        texts = tuple(_text_of(path, row, name) for name in text_columns)
        label = _text_of(path, row, label_column, (str, int)).strip()
        if not all(text.strip() for text in texts):
            raise UserError(f"{path}, line {row.line}: the text is empty; fill it in or remove the row")
        if not label:
            raise UserError(f"{path}, line {row.line}: the label is empty; fill it in or remove the row")
        yield LabelledRow(row.line, texts, label)


def _text_of(path: Path, row: TableRow, name: str, kinds: tuple[type, ...] = (str,)) -> str:
    """Returns a field as str, "" for null."""
    if name not in row.fields:
        raise UserError(f"{path}, line {row.line}: no field {name!r}; choose one of {listed(row.fields)}")
    value = row.fields[name]
    if value is None:
        return ""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{path}, line {row.line}: {name!r} is a {type(value).__name__}; make it {expected}")
    try:
        str(value).encode("utf-8")
    except UnicodeEncodeError as error:  # valid in JSON ("\ud83d"), but cannot be encoded
        lone = str(value)[error.start]
        raise UserError(f"{path}, line {row.line}: {lone!a} is a lone surrogate; remove it") from error
    return str(value)


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yields the rows of a table with a header; quoted fields may contain delimiters and line breaks."""
    csv.field_size_limit(MAX_FIELD_SIZE)
    delimiter = _delimiter(path, columns)
    rows = _split_rows(path, delimiter)
    header = [name.strip() for name in next((row.fields for row in rows if row.raw.strip()), ())]
    if not header:
        return
    _check_header(path, columns, header)
    names = _unique(header)
    for row in rows:
        if row.fields:
            _check_fields(path, row, len(header), delimiter)
            yield TableRow(row.line, dict(zip(names, row.fields, strict=True)))


class _SplitRow(NamedTuple):
    """A row of a CSV or TSV file."""

    line: int
    """First line of the row, counted from 1."""
    raw: str
    """The row as in the file, with its line break."""
    fields: list[str]


def _split_rows(path: Path, delimiter: str) -> Iterator[_SplitRow]:
    """Yields the rows of a CSV or TSV file, with the header and empty lines."""
    raw: list[str] = []

    def lines() -> Iterator[str]:
        for content in read_lines(path, keep_ends=True):
            raw.append(content)
            yield content

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            yield _SplitRow(line, "".join(raw), fields)
            raw.clear()
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f'{path}, line {line}: the row cannot be read ({error}); quote fields with " and double each " inside'
        ) from error


def _unique(header: list[str]) -> list[str]:
    """Returns a header in which no name is repeated: names are numbered, several empty ones by their position.

    Example:
        >>> _unique(["notes", "notes", "", ""])
        ['notes', 'notes_2', 'column_3', 'column_4']
    """
    taken, names = {*header}, list[str]()
    for position, name in enumerate(header, start=1):
        unique = name
        if header.count(name) > 1 and (not name or name in names):
            base, first = (name, 2) if name else ("column", position)
            unique = next(new for number in count(first) if (new := f"{base}_{number}") not in taken)
            taken.add(unique)
        names.append(unique)
    return names


def _delimiter(path: Path, columns: Sequence[str]) -> str:
    """Returns the delimiter of a table: the first that gives a header with all columns, else the most columns."""
    if format_of(path) == ".tsv":
        return "\t"
    header = next((line for line in read_lines(path) if line.strip()), "")
    names = {one: [name.strip() for name in next(csv.reader([header], delimiter=one))] for one in ",;\t"}
    complete = next((one for one, found in names.items() if {*columns} <= {*found}), None)
    return complete or max(names, key=lambda one: len(names[one]))


def _check_header(path: Path, columns: Sequence[str], header: list[str]) -> None:
    for name in columns:
        if header.count(name) > 1:
            raise UserError(f"{path} has the column {name!r} {header.count(name)} times: rename or remove one of them")
        if name not in header:
            raise UserError(f"{path} has no column {name!r} in its header, only {listed(header)}: choose one of them")


def listed(names: Iterable[str]) -> str:
    """Returns names of columns for a message."""
    found = [name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…" for name in names]
    more = len(found) - MAX_NAMES
    return ", ".join([*map(repr, found[:MAX_NAMES]), *([f"{more} more"] if more > 0 else [])])


def _check_fields(path: Path, row: _SplitRow, expected: int, delimiter: str) -> None:
    """Checks a row of a CSV or TSV file.

    Raises:
        UserError: for too few or too many fields, or a quotation mark in a TSV file that includes the next rows; a row
            in which every field is quoted includes none.
    """
    if delimiter == "\t" and seems_rows(row.fields) and row.raw.rstrip("\r\n") != quoted(row.fields):
        raise UserError(
            f'{path}, line {row.line}: a field that starts with " contains the next rows; double each " inside quoted '
            'fields, or write the field as """...", or quote every field of a row that contains tabs and line breaks'
        )
    if len(row.fields) != expected:
        name = {",": "comma", ";": "semicolon", "\t": "tab"}[delimiter]
        raise UserError(
            f"{path}, line {row.line}: the row has {len(row.fields)} column(s), but the header has {expected}; "
            f"add the missing columns, or quote texts that contain a {name}"
        )


def seems_rows(fields: Iterable[str]) -> bool:
    """Whether a field of a TSV file has a tab and a line break, like several rows."""
    return any("\n" in field and "\t" in field for field in fields)


def quoted(fields: Iterable[str]) -> str:
    """Returns a row of a TSV file in which every field is quoted."""
    return "\t".join('"' + field.replace('"', '""') + '"' for field in fields)


def _json_rows(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yields the rows of a file with one JSON object per line."""
    for line, content in enumerate(read_lines(path, keep_ends=True), start=1):
        if content.strip():
            yield TableRow(line, _json_object(path, line, content))


def _json_object(path: Path, line: int, content: str) -> Plain:
    def unique(pairs: list[tuple[str, Any]]) -> Plain:
        names = [name for name, _ in pairs]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise UserError(f"{path}, line {line}: the field {repeated!r} occurs twice; remove one of them")
        return dict(pairs)

    try:
        fields = json.loads(content, object_pairs_hook=unique)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise UserError(f"{path}, line {line}: not valid JSON ({reason}); put one object on each line") from error
    if not isinstance(fields, dict):
        raise UserError(f"{path}, line {line}: found a JSON {type(fields).__name__}; put one object on each line")
    return fields


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yields the rows of a Parquet file (pyarrow)."""
    try:
        from pyarrow import ArrowInvalid, Table, parquet
    except ImportError as error:
        raise _not_installed(path, "pyarrow") from error
    try:
        with read_errors(path):
            file = parquet.ParquetFile(path)
            _check_header(path, columns, file.schema_arrow.names)
            names = _unique(file.schema_arrow.names)
            line = 0
            for batch in file.iter_batches():
                for fields in Table.from_batches([batch]).rename_columns(names).to_pylist():
                    line += 1
                    yield TableRow(line, fields)
    except ArrowInvalid as error:
        raise UserError(f"{path} is not a Parquet file: replace it with a complete copy") from error


def _dataset_rows(path: Path, columns: Sequence[str]) -> Iterator[TableRow]:
    """Yields the rows of a folder written by `datasets.Dataset.save_to_disk`; classes become their names."""
    try:
        from datasets import ClassLabel, load_from_disk
    except ImportError as error:
        raise _not_installed(path, "datasets") from error
    try:
        dataset = load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a complete Hugging Face dataset: save it again") from error
    _check_header(path, columns, dataset.column_names)
    names = {name: feature.names for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    for line, fields in enumerate(dataset, start=1):
        classes = {name: of[fields[name]] if (fields[name] or 0) >= 0 else None for name, of in names.items()}
        yield TableRow(line, {**fields, **classes})


def _not_installed(path: Path, package: str) -> UserError:
    return UserError(f"{path} cannot be read without {package}: pip install {package}, or use a CSV or JSONL file")


READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[TableRow]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".parquet": _parquet_rows,
}


def format_of(path: Path) -> str:
    """Returns the suffix that names the format: ".csv" for "a.csv.gz"."""
    return (path.with_suffix("") if is_packed(path) else path).suffix.lower()
