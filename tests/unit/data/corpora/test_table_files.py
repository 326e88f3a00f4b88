"""Formats of tables, and the faults of files that spreadsheets and other programs write."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpora.table_files import read_labelled, read_table, read_texts
from sluice.data.corpora.table_writer import write_table
from sluice.data.corpora.tables import LabelledTable
from sluice.errors import UserError
from sluice.plain import Plain

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


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.booleans())
@settings(deadline=None, max_examples=40)
def test_tabs_and_line_breaks_survive_a_tsv_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], as_rows: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    added = 'a\tb\nc\t"d"\n' if as_rows else ""
    rows = [(f"{first}{added}", second) for first, second in rows]
    write_table(path, [{"first": first, "second": second} for first, second in rows])
    assert [tuple(found) for _, found in read_texts(path, ("first", "second"))] == rows


def test_fields_are_written_below_their_names(tmp_path: Path) -> None:
    rows: list[Plain] = [
        {"text": "a", "n": 1, "ok": True},
        {"ok": None, "text": "b"},
        {"ok": {"é": [None, 1]}, "n": 2.5},
    ]
    write_table(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines() == [
        *("text,n,ok", "a,1,true", "b,,", ',2.5,"{""é"": [null, 1]}"'),
    ]
    write_table(tmp_path / "a.jsonl", [*rows, {"other": 1}])
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [*rows, {"other": 1}]
    with pytest.raises(UserError, match=r"row 4 has the column 'other', which the first row .* ends in \.jsonl"):
        write_table(tmp_path / "b.tsv", [*rows, {"other": 1}])
    assert not (tmp_path / "b.tsv").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.jsonl", "a.ndjson.gz"])
def test_any_json_string_is_written(tmp_path: Path, name: str) -> None:
    row = {"text": "café", "not\ud83d": "\ud83d\0", "list": ["\udc00\0"]}
    write_table(tmp_path / name, [row])
    ((found, _),) = read_texts(tmp_path / name, ["text"])
    replaced = {"text": "café", "not\ufffd": "\ufffd\ufffd", "list": '["\ufffd\\u0000"]'}
    assert found.fields == (row if "json" in name else replaced)


def test_repeated_columns_are_kept(tmp_path: Path) -> None:
    content = "text,notes,,notes,notes_2,\na,1,2,3,4,5\n"
    ((row, found),) = read_texts(write(tmp_path / "a.csv", content), ["text"])
    assert found == ["a"]
    assert row.fields == {"text": "a", "notes": "1", "column_3": "2", "notes_3": "3", "notes_2": "4", "column_6": "5"}
    for name, times in [("notes", 2), ("", 2)]:
        with pytest.raises(UserError, match=f"has the column '{name}' {times} times"):
            list(read_texts(tmp_path / "a.csv", [name]))
    with pytest.raises(UserError, match="no column 'column_3'"):
        list(read_texts(tmp_path / "a.csv", ["column_3"]))
    ((row, found),) = read_texts(write(tmp_path / "b.csv", ",text\n0,a\n"), ["", "text"])
    assert found == ["0", "a"]
    assert list(row.fields) == ["", "text"]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.csv", ","), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_blank_lines_above_the_header_are_skipped(tmp_path: Path, name: str, delimiter: str) -> None:
    lines = ["  ", "", "\t ", f"text{delimiter}label", "", f"a{delimiter}b"]
    path = write(tmp_path / name, "\ufeff" + "\r\n".join(lines))
    assert labelled(path) == [("a", "b")]
    assert [row.line for row in read_table(path, ["text"])] == [6]


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
        ("a.csv", f"{'word' * 50_000},x\ny,z\n", "no column 'text' in its header, only 'word.{30,40}…', 'x'"),
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
        "long field",
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
    repeated = pyarrow.table([["a"], [1], [2]], names=["text", "notes", "notes"])
    parquet.write_table(repeated, tmp_path / "b.parquet")
    (row,) = read_table(tmp_path / "b.parquet", ["text"])
    assert row.fields == {"text": "a", "notes": 1, "notes_2": 2}
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
