"""Files written by a run are read back unchanged."""

import csv
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sluice.runs.results import escape_field, write_confusion, write_tsv

FIELDS = st.text(st.characters(exclude_categories=("Cs",)))
ESCAPED = re.compile(r"\\(\\|t|n|r|u[0-9a-f]{4})")
PLAIN = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


def unescaped(field: str) -> str:
    """Inverts `escape_field`."""
    return ESCAPED.sub(lambda found: PLAIN.get(found[1]) or chr(int(found[1][1:], 16)), field)


@given(FIELDS)
def test_escaped_field_fits_on_one_line_and_round_trips(text: str) -> None:
    field = escape_field(text)
    assert "\t" not in field
    assert len(f"{field}|".splitlines()) == 1
    assert unescaped(field) == text


def test_tsv_keeps_its_columns_with_any_characters(tmp_path: Path) -> None:
    rows = [("a\tb", "c\nd", "e\r\\n"), ("", "\u2028", "\x0b\x85")]
    write_tsv(tmp_path / "a.tsv", ("x", "y", "z"), rows)
    lines = (tmp_path / "a.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "x\ty\tz"
    assert [tuple(map(unescaped, line.split("\t"))) for line in lines[1:]] == rows


def test_confusion_csv_keeps_the_class_names(tmp_path: Path) -> None:
    labels = ('a,"b"', "c\nd", " e")
    write_confusion(tmp_path, labels, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    with (tmp_path / "confusion.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["true", *labels]
    assert [row[0] for row in rows] == list(labels)
