"""User-supplied labelled texts and text pairs."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fingerprints import fingerprint
from sluice.data.corpora import tables
from sluice.data.corpora.table_files import LabelledRow
from sluice.data.corpora.tables import Fold, LabelledTable, PairTable
from sluice.data.corpus import Document, TextPair
from sluice.errors import UserError

TWO_ROWS = "text,label\nGood,pos\nBad,neg\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts_and_labels(table: LabelledTable) -> list[tuple[str, str]]:
    return [(document.text, table.labels[document.label]) for document in table.documents()]


def read_file(path: Path, content: str | bytes) -> list[tuple[str, str]]:
    return texts_and_labels(LabelledTable(path=write(path, content)))


def json_lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("file_name", "content"),
    [
        ("a.csv", "id,label,text\n1,pos,Good\n2,neg,Bad\n"),
        ("a.CSV", "label,text\r\npos,Good\r\n\r\nneg,Bad"),
        ("a.csv", b"\xef\xbb\xbf\ntext,label\nGood,pos\nBad, neg \n"),
        ("a.tsv", "text\tlabel\nGood\tpos\nBad\tneg\n"),
        ("a.jsonl", json_lines({"text": "Good", "label": "pos"}, {"label": "neg", "text": "Bad", "more": [1]})),
        ("a.ndjson", b'\xef\xbb\xbf{"text": "Good", "label": "pos"}\r\n\r\n{"text": "Bad", "label": "neg"}'),
    ],
)
def test_every_format_is_read(tmp_path: Path, file_name: str, content: str | bytes) -> None:
    assert read_file(tmp_path / file_name, content) == [("Good", "pos"), ("Bad", "neg")]


def test_columns_and_files_of_texts_can_be_chosen(tmp_path: Path) -> None:
    table = LabelledTable(
        path=write(tmp_path / "train.csv", "review,stars\nGood,10\nBad,2\nSo so,5\n"),
        validation_path=write(tmp_path / "val.tsv", "stars\treview\n5\tWell, yes\n"),
        test_path=write(tmp_path / "test.jsonl", json_lines({"review": "No", "stars": 2})),
        text_column="review",
        label_column="stars",
    )
    expected = [
        Document("train", "Good", 2),
        Document("train", "Bad", 0),
        Document("train", "So so", 1),
        Document("val", "Well, yes", 1),
        Document("test", "No", 0),
    ]
    assert table.labels == ("2", "5", "10")
    assert list(table.documents()) == expected
    assert list(table.documents()) == expected
    assert table.name == "file"
    assert "val.tsv" in table.description


def test_single_file_is_the_training_split(tmp_path: Path) -> None:
    table = LabelledTable(path=write(tmp_path / "a.csv", TWO_ROWS))
    assert {document.split for document in table.documents()} == {"train"}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([10, 9, -1], ("-1", "9", "10")),
        (["1.5", "1.25", "10"], ("1.25", "1.5", "10")),
        ([True, False], ("False", "True")),
        (["10", "9", "b"], ("10", "9", "b")),
        (["nan", "2", "1"], ("1", "2", "nan")),
    ],
)
def test_labels_are_sorted_as_numbers_or_text(tmp_path: Path, values: list[object], labels: tuple[str, ...]) -> None:
    rows = json_lines(*({"text": "x", "label": value} for value in values))
    table = LabelledTable(path=write(tmp_path / "a.jsonl", rows))
    assert table.labels == labels
    assert [table.labels[document.label] for document in table.documents()] == [str(value) for value in values]


def test_quoted_fields_may_hold_line_breaks_and_commas(tmp_path: Path) -> None:
    content = 'text,label\n"One, ""two""\nthree\r\nfour",pos\nBad,neg\n'
    assert read_file(tmp_path / "a.csv", content)[0] == ('One, "two"\nthree\r\nfour', "pos")


def test_errors_report_line_numbers_of_the_file(tmp_path: Path) -> None:
    content = 'text,label\n"One\ntwo",pos\n\n"Three\nfour",\n'
    with pytest.raises(UserError, match=r"a.csv, line 5: the label is empty"):
        read_file(tmp_path / "a.csv", content)


def test_very_long_field_is_read(tmp_path: Path) -> None:
    text = "word " * 100_000 + "end"
    assert read_file(tmp_path / "a.csv", f"text,label\n{text},pos\nBad,neg\n")[0] == (text, "pos")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a.csv has no rows"),
        ("\n\n", r"a.csv has no rows"),
        ("text,label\n", r"a.csv has no rows"),
        ("review,label\nGood,pos\n", r"no column 'text' in its header, only 'review', 'label': choose"),
        ("text,sentiment\nGood,pos\n", r"no column 'label' in its header, only 'text', 'sentiment'"),
        ("text,label\nGood,pos\nBad,pos\n", r"a.csv has only the class 'pos' in 'label'"),
        ("text,label\nGood,pos\nBad\n", r"line 3: the row has 1 column\(s\), but the header has 2"),
        ("text,label\nGood,pos\nBad, sad,neg\n", r"line 3: the row has 3 column.*quote texts that contain a comma"),
        ("text,label\nGood,pos\nBad,\n", r"line 3: the label is empty"),
        ("text,label\nGood,pos\nBad, \t\n", r"line 3: the label is empty"),
        ("text,label\nGood,pos\n  ,neg\n", r"line 3: the text is empty"),
        ('text,label\nGood,pos\n"Bad,neg\nSad,neg\n', r"line 3: the row cannot be read \(unexpected end of data\)"),
        ('text,label\nGood,pos\n"Bad" news,neg\n', r"line 3: the row cannot be read .*double each"),
        (b"text,label\nGood,pos\nd\xe9j\xe0,neg\n", r"is not UTF-8 at byte 21 \(line 3\)"),
        (TWO_ROWS.encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
    ],
)
def test_csv_errors_are_reported(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_file(tmp_path / "a.csv", content)


def test_tsv_row_with_too_few_columns_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.tsv, line 2: .*quote texts that contain a tab"):
        read_file(tmp_path / "a.tsv", "text\tlabel\nGood pos\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "Bad", ', r"line 2: not valid JSON"),
        (b"[" * 100_000, r"line 2: not valid JSON"),
        (b'["Bad", "neg"]', r"line 2: found a JSON list; put one object on each line"),
        (b'{"review": "Bad", "label": "neg"}', r"line 2: no field 'text'; choose one of 'review', 'label'"),
        (b'{"text": "Bad"}', r"line 2: no field 'label'"),
        (b'{"text": "Bad", "label": null}', r"line 2: the label is empty"),
        (b'{"text": "Bad", "label": ""}', r"line 2: the label is empty"),
        (b'{"text": null, "label": "neg"}', r"line 2: the text is empty"),
        (b'{"text": 5, "label": "neg"}', r"line 2: 'text' is a int; make it str"),
        (b'{"text": "Bad", "label": 0.5}', r"line 2: 'label' is a float; make it str or int"),
        (b'{"text": "Bad \\ud83d", "label": "neg"}', r"line 2: '\\ud83d' is a lone surrogate"),
        (b'{"text": "d\xe9j\xe0", "label": "neg"}', r"is not UTF-8 at byte 44 \(line 2\)"),
    ],
)
def test_json_errors_are_reported(tmp_path: Path, line: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_file(tmp_path / "a.jsonl", b'{"text": "Good", "label": "pos"}\n' + line + b"\n")


def test_empty_json_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no rows"):
        read_file(tmp_path / "a.jsonl", "")


def test_missing_file_or_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.csv cannot be read \(no such file"):
        list(LabelledTable(path=tmp_path / "none.csv").documents())
    with pytest.raises(UserError, match=r"none.csv cannot be read"):
        _ = fingerprint(LabelledTable(path=tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=r"folder.csv is a folder, but not a saved Hugging Face dataset"):
        list(LabelledTable(path=tmp_path / "folder.csv").documents())


@pytest.mark.parametrize("file_name", ["a.txt", "a.csv.zip", "a"])
def test_unknown_suffix_is_refused(tmp_path: Path, file_name: str) -> None:
    with pytest.raises(UserError, match=r"unknown file type: use a file that ends in .csv, .tsv, .jsonl, .ndjson, "):
        read_file(tmp_path / file_name, TWO_ROWS)


@pytest.mark.parametrize("argument", ["validation_path", "test_path"])
def test_unknown_class_in_another_file_is_refused(tmp_path: Path, argument: str) -> None:
    train = write(tmp_path / "train.csv", TWO_ROWS)
    other = write(tmp_path / "other.csv", "text,label\nGood,pos\nHm,neutral\n")
    with pytest.raises(UserError, match=r"other.csv, line 3: the class 'neutral' is not in .*which has neg, pos;"):
        _ = LabelledTable(path=train, **{argument: other}).labels


def test_other_files_may_lack_a_class(tmp_path: Path) -> None:
    other = write(tmp_path / "other.csv", "text,label\nGood,pos\n")
    table = LabelledTable(path=write(tmp_path / "train.csv", TWO_ROWS), test_path=other)
    assert list(table.documents())[-1] == Document("test", "Good", 1)


def test_fingerprint_depends_on_files_and_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TWO_ROWS)
    other = write(tmp_path / "b.csv", TWO_ROWS)
    before = fingerprint(LabelledTable(path=path))
    assert fingerprint(LabelledTable(path=path)) == before
    assert fingerprint(LabelledTable(path=path, label_column="class")) != before
    as_validation = fingerprint(LabelledTable(path=path, validation_path=other))
    assert len({before, as_validation, fingerprint(LabelledTable(path=path, test_path=other))}) == 3
    os.utime(path, ns=(0, 5))
    assert fingerprint(LabelledTable(path=path.rename(tmp_path / "moved.csv"))) == before
    assert fingerprint(LabelledTable(path=write(path, TWO_ROWS.upper()))) != before


ROWS = [("a, b", "c", "yes"), ("d", "e f", "no"), ("g", "h", "yes")]
PAIRS = [TextPair("a, b", "c", 1), TextPair("d", "e f", 0), TextPair("g", "h", 1)]


def write_pairs(path: Path) -> Path:
    """Writes the rows in the format of the suffix."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(("first", "second", "label"), row, strict=True))) for row in ROWS]
    else:
        mark = {".csv": ",", ".tsv": "\t"}[path.suffix]
        lines = [mark.join(f'"{field}"' for field in row) for row in [("first", "second", "label"), *ROWS]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, kind: str) -> None:
    table = PairTable(path=write_pairs(tmp_path / f"mine.{kind}"))
    assert (table.labels, table.splits) == (("no", "yes"), ("train",))
    assert list(table.pairs("train")) == PAIRS


def test_pair_columns_and_files_can_be_chosen(tmp_path: Path) -> None:
    path, test = write_pairs(tmp_path / "mine.csv"), write_pairs(tmp_path / "test.tsv")
    table = PairTable(path=path, test_path=test, first_column="second", second_column="first")
    assert table.splits == ("train", "test")
    assert [pair[:2] for pair in table.pairs("test")] == [(second, first) for first, second, _ in ROWS]


def test_fingerprint_of_pairs_depends_on_file_and_columns(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "mine.csv")
    tables: list[dict[str, Any]] = [{}, {"second_column": "x"}, {"first_column": "x"}, {"label_column": "x"}]
    prints = [fingerprint(PairTable(path=path, **columns)) for columns in tables]
    os.utime(path, ns=(1, 1))
    assert fingerprint(PairTable(path=path)) == prints[0]
    path.write_text("more", encoding="utf-8")
    assert len({*prints, fingerprint(PairTable(path=path))}) == 5


@pytest.mark.parametrize("column", ["first_column", "second_column", "label_column"])
def test_missing_column_is_named(tmp_path: Path, column: str) -> None:
    table = PairTable(path=write_pairs(tmp_path / "mine.csv"), **{column: "other"})
    with pytest.raises(UserError, match=r"mine.csv has no column 'other' in its header, only 'first', 'second', 'lab"):
        list(table.pairs("train"))


def test_empty_texts_are_refused(tmp_path: Path) -> None:
    for number, row in enumerate(("x,,no", ",y,no")):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"first,second,label\na,b,yes\n{row}\n", encoding="utf-8")
        with pytest.raises(UserError, match="line 3: the text is empty"):
            list(PairTable(path=path).pairs("train"))


def test_pairs_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        tables,
        "read_labelled",
        lambda path, **columns: iter([read.append(path) or LabelledRow(2, ("one", "other"), "yes")]),
    )
    table = PairTable(path=tmp_path / "mine.csv", known_labels=("no", "yes"))
    assert list(table.pairs("train")) == [TextPair("one", "other", 1)]
    assert read == [tmp_path / "mine.csv"]


def test_every_text_is_in_the_test_of_one_fold(tmp_path: Path) -> None:
    rows = "".join(f"film {number % 20},{'yes' if number % 20 % 3 else 'no'}\n" for number in range(25))
    path = write(tmp_path / "a.csv", f"text,label\n{rows}")
    tables = [LabelledTable(path=path, fold=Fold(index, 4)) for index in range(4)]
    tested = [{document.text for document in table.documents() if document.split == "test"} for table in tables]
    assert sorted(text for texts in tested for text in texts) == sorted({f"film {number}" for number in range(20)})
    for table, texts in zip(tables, tested, strict=True):
        rest = {document.text for document in table.documents() if document.split == "train"}
        assert not rest & texts
        assert len(rest | texts) == 20
    assert len({fingerprint(table) for table in tables}) == 4
    whole = fingerprint(LabelledTable(path=path))
    assert {fingerprint(SimpleNamespace(sources=table.whole_sources)) for table in tables} == {whole}
