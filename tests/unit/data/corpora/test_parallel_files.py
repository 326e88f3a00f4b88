"""Parallel files: pairs that are read, and errors for invalid files."""

import gzip
from pathlib import Path

import pytest

from fingerprints import fingerprint
from sluice.data.corpora.parallel_files import ParallelFiles
from sluice.data.corpus import SentencePair
from sluice.errors import UserError
from sluice.text.lines import read_lines


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def german(tmp_path: Path) -> Path:
    return write(tmp_path / "a.de", "Ein Hund.", "", "Zwei Männer.")


@pytest.fixture
def english(tmp_path: Path) -> Path:
    return write(tmp_path / "a.en", "A dog.", "A cat.", "Two men.")


def test_two_files_are_read_line_by_line(german: Path, english: Path) -> None:
    corpus = ParallelFiles(train=(german, english), val=(english, german))
    assert list(corpus.pairs()) == [
        SentencePair("train", "Ein Hund.", "A dog."),
        SentencePair("train", "", "A cat."),
        SentencePair("train", "Zwei Männer.", "Two men."),
        SentencePair("val", "A dog.", "Ein Hund."),
        SentencePair("val", "A cat.", ""),
        SentencePair("val", "Two men.", "Zwei Männer."),
    ]


def test_chosen_columns_of_a_table_are_read(tmp_path: Path) -> None:
    table = write(tmp_path / "a.tsv", "A dog.\tEin Hund.\tfrom a friend", "", 'Two "men".\tZwei "Männer".')
    expected = [("Ein Hund.", "A dog."), ("", ""), ('Zwei "Männer".', 'Two "men".')]
    assert [pair[1:] for pair in ParallelFiles(train=table, columns=(2, 1)).pairs()] == expected


def test_gzip_and_windows_line_endings_are_read(german: Path, english: Path) -> None:
    zipped = german.with_suffix(".gz")
    zipped.write_bytes(gzip.compress(german.read_bytes()))
    english.write_bytes(b"\xef\xbb\xbf" + english.read_bytes().replace(b"\n", b"\r\n"))
    assert list(read_lines(zipped)) == list(read_lines(german))
    assert list(read_lines(english)) == ["A dog.", "A cat.", "Two men."]


@pytest.mark.parametrize("reverse", [False, True])
def test_files_of_unequal_length_are_refused(tmp_path: Path, german: Path, reverse: bool) -> None:
    longer = write(tmp_path / "long.en", *["A dog."] * 1005)
    paths = (longer, german) if reverse else (german, longer)
    counts = r"1,005 lines and .*a.de has 3" if reverse else r"3 lines and .*long.en has 1,005"
    with pytest.raises(UserError, match=counts):
        list(ParallelFiles(train=paths).pairs())


def test_line_with_too_few_columns_is_reported(tmp_path: Path) -> None:
    table = write(tmp_path / "a.tsv", "A dog.\tEin Hund.", "Two men.")
    with pytest.raises(UserError, match=r"a.tsv, line 2: the line has 1 column\(s\).*expected at least 2"):
        list(ParallelFiles(train=table).pairs())


def test_invalid_utf8_is_located(german: Path, english: Path) -> None:
    german.write_bytes("Ein Hund.\n\nZwei Männer.\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"a.de is not UTF-8 at byte 17 \(line 3\)"):
        list(ParallelFiles(train=(german, english)).pairs())


def test_truncated_gzip_file_is_refused(german: Path, english: Path) -> None:
    zipped = german.with_suffix(".gz")
    zipped.write_bytes(gzip.compress(german.read_bytes())[:-10])
    with pytest.raises(UserError, match="is truncated or not a gzip file"):
        list(ParallelFiles(train=(zipped, english)).pairs())
    zipped.write_bytes(german.read_bytes())
    with pytest.raises(UserError, match="is truncated or not a gzip file"):
        list(ParallelFiles(train=(zipped, english)).pairs())


def test_missing_and_empty_files_are_refused(tmp_path: Path, german: Path) -> None:
    with pytest.raises(UserError, match=r"none.en cannot be read \(no such file"):
        list(ParallelFiles(train=(german, tmp_path / "none.en")).pairs())
    with pytest.raises(UserError, match=r"none.en cannot be read"):
        _ = fingerprint(ParallelFiles(train=(german, tmp_path / "none.en")))
    (tmp_path / "empty.en").touch()
    with pytest.raises(UserError, match=r"empty.en has no lines"):
        list(ParallelFiles(train=(german, tmp_path / "empty.en")).pairs())


def test_fingerprint_depends_on_files_and_columns(german: Path, english: Path) -> None:
    first = fingerprint(ParallelFiles(train=(german, english)))
    assert fingerprint(ParallelFiles(train=(german, english))) == first
    assert fingerprint(ParallelFiles(train=(english, german))) != first
    assert fingerprint(ParallelFiles(train=german)) != fingerprint(ParallelFiles(train=german, columns=(2, 1)))
    write(german, "Ein Hund.", "", "Zwei Frauen!")
    assert fingerprint(ParallelFiles(train=(german, english))) != first


@pytest.mark.parametrize("columns", [(0, 1), (2, 2)])
def test_invalid_columns_are_refused(german: Path, columns: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="must be two different numbers of at least 1"):
        ParallelFiles(train=german, columns=columns)
