"""A person's own pairs of texts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fingerprints import fingerprint
from sluice.data.pair_tables import PairTable
from sluice.data.text_pairs import TextPair
from sluice.errors import UserError

ROWS = [("a, b", "c", "yes"), ("d", "e f", "no"), ("g", "h", "yes")]
PAIRS = [TextPair("a, b", "c", 1), TextPair("d", "e f", 0), TextPair("g", "h", 1)]


def write(path: Path) -> Path:
    """The rows in the format that the name asks for."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(("first", "second", "label"), row, strict=True))) for row in ROWS]
    else:
        mark = {".csv": ",", ".tsv": "\t"}[path.suffix]
        lines = [mark.join(f'"{field}"' for field in row) for row in [("first", "second", "label"), *ROWS]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, kind: str) -> None:
    table = PairTable(path=write(tmp_path / f"mine.{kind}"))
    assert (table.labels, table.splits) == (("no", "yes"), ("train",))
    assert list(table.pairs("train")) == PAIRS


def test_columns_and_files_are_those_named(tmp_path: Path) -> None:
    path, test = write(tmp_path / "mine.csv"), write(tmp_path / "test.tsv")
    table = PairTable(path=path, test_path=test, first_column="second", second_column="first")
    assert table.splits == ("train", "test")
    assert [pair[:2] for pair in table.pairs("test")] == [(second, first) for first, second, _ in ROWS]


def test_the_fingerprint_changes_with_file_and_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv")
    tables: list[dict[str, Any]] = [{}, {"second_column": "label"}, {"first_column": "label"}, {"label_column": "x"}]
    prints = [fingerprint(PairTable(path=path, **columns)) for columns in tables]
    os.utime(path, ns=(1, 1))
    assert fingerprint(PairTable(path=path)) == prints[0]
    path.write_text("more", encoding="utf-8")
    assert len({*prints, fingerprint(PairTable(path=path))}) == 5


@pytest.mark.parametrize("column", ["first_column", "second_column", "label_column"])
def test_a_missing_column_is_told(tmp_path: Path, column: str) -> None:
    table = PairTable(path=write(tmp_path / "mine.csv"), **{column: "other"})
    with pytest.raises(UserError, match=r"mine.csv has no column 'other': choose one of 'first', 'second', 'label'"):
        list(table.pairs("train"))


def test_an_empty_text_of_either_column_is_told(tmp_path: Path) -> None:
    for number, row in enumerate(("x,,no", ",y,no")):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"first,second,label\na,b,yes\n{row}\n", encoding="utf-8")
        with pytest.raises(UserError, match="line 3: the text is empty"):
            list(PairTable(path=path).pairs("train"))
