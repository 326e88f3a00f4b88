"""Formats of tables, and the faults of files that spreadsheets and other programs write."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpora.table_files import read_labelled, read_table, read_texts, write_table
from sluice.data.corpora.tables import LabelledTable
from sluice.errors import UserError

ROWS = [("Très bon,\n«vraiment»", "café"), ("mauvais", "thé")]
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), min_size=1, max_size=12)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def labelled(path: Path) -> list[tuple[str, str]]:
    rows = read_labelled(path, text_columns=("text",), label_column="label")
    return [(*row.texts, row.label) for row in rows]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.tsv.gz", "a.jsonl.gz", "A.CSV.GZ"])
def test_tables_are_written_and_read_unchanged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_table(path, [{"text": text, "label": label} for text, label in ROWS])
    assert path.read_bytes().startswith(b"\x1f\x8b") == name.lower().endswith(".gz")
    assert labelled(path) == ROWS


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.sampled_from([".csv", ".jsonl", ".csv.gz"]))
@settings(deadline=None, max_examples=40)
def test_any_text_survives_a_table(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    write_table(path, [{"first": first, "second": second} for first, second in rows])
    assert [tuple(found) for _, found in read_texts(path, ("first", "second"))] == rows


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_delimiter_of_a_csv_file_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = ["id;text;label", '1;"so; so, ""la la""";5', "2;bad;1"]
    path = write(tmp_path / "a.csv", "\r\n".join(rows).replace(";", delimiter).encode("utf-8-sig"))
    assert labelled(path) == [(f'so{delimiter} so, "la la"', "5"), ("bad", "1")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "label,text,label\nx,y,z\n", "has the column 'label' 2 times: rename or remove one"),
        ("a.jsonl", '{"text": "a", "label": 1, "text": "b"}\n', "line 1: the field 'text' occurs twice"),
        ("a.csv", f"{'word ' * 500},x\ny,z\n", "no column 'text' in its header, only 'word word .{30,40}…', 'x'"),
        ("a.csv", "review;stars\nfine;1\n", "no column 'text' in its header, only 'review', 'stars': choose one"),
        ("a.csv", "abcdefghijklmn\n".replace("", ",")[1:-1], "'j', 5 more: choose one"),
        ("a.tsv", 'text\tlabel\n"Great\tpos\nBad\tneg\n"\tpos\n', 'line 2: a field that starts with " contains'),
        ("a.csv", "text,label\rgood,pos\rbad,neg\r", "has the line breaks of old Mac files"),
        ("a.csv.gz", gzip.compress(b"text,label\ngood,pos\n" * 99)[:-30], "is truncated or not a gzip file"),
        ("a.parquet", b"PAR1", "is not a Parquet file|cannot be read without pyarrow"),
    ],
    ids=[
        "twice",
        "twice in JSON",
        "long header",
        "semicolons",
        "many columns",
        "swallowed rows",
        "old Mac",
        "cut gz",
        "cut Parquet",
    ],
)
def test_faulty_tables_are_refused(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        labelled(write(tmp_path / name, content))
    assert len(str(raised.value).replace(str(tmp_path), "")) < 300


def test_columns_must_differ(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the column 'text' is named twice"):
        LabelledTable(path=tmp_path / "a.csv", label_column="text")


def test_classes_are_normalised_and_similar_ones_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["cafe\u0301", " caf\u00e9 ", "Pos", "pos", "1", "1.0", "po s", "neg", "neg\u200b", "other"]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps({"text": "x", "label": name}) + "\n" for name in names))
    with caplog.at_level(logging.WARNING):
        labels = LabelledTable(path=path).labels
    assert [label for label in labels if "caf" in label] == ["caf\u00e9"]
    (record,) = caplog.records
    for group in ("'1' and '1.0'", "'Pos' and 'po s' and 'pos'", r"'neg' and 'neg\u200b'"):
        assert group in record.getMessage()
    assert "other" not in record.getMessage()


def test_parquet_files_are_read(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns: Any = {"text": [text for text, _ in ROWS], "label": [2, 1], "other": [None, [1]]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert labelled(tmp_path / "a.parquet") == [(ROWS[0][0], "2"), (ROWS[1][0], "1")]
    assert [row.line for row in read_table(tmp_path / "a.parquet", ["other"])] == [1, 2]
    with pytest.raises(UserError, match="no column 'class' in its header, only 'text', 'label', 'other'"):
        list(read_table(tmp_path / "a.parquet", ["class"]))


def test_saved_datasets_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["thé", "café"]))
    rows = {"text": [text for text, _ in ROWS], "label": [1, 0]}
    saved = datasets.DatasetDict(train=datasets.Dataset.from_dict(rows, features=features))
    saved.save_to_disk(tmp_path / "saved")
    assert labelled(tmp_path / "saved" / "train") == ROWS
    assert {file.role for file in LabelledTable(path=tmp_path / "saved" / "train").sources.files} == {"train"}
    with pytest.raises(UserError, match="saved contains several datasets: name one of the folders 'train' in it"):
        labelled(tmp_path / "saved")
