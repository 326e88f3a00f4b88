"""Decoding of lines, and the location of errors."""

import gzip
import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.errors import UserError
from sluice.text.lines import LinePart, check_not_pipe, decoded_lines, is_packed, one_line, read_lines, read_parts
from sluice.text.tokenizers import make_tokenizer

lines_without_ends = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\ufeff"), max_size=8), min_size=1, max_size=6
)


@given(lines_without_ends, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_line_breaks_and_byte_order_marks_are_removed(lines: list[str], end: str, last_ends: bool, mark: bool) -> None:
    """A final line break is not followed by an empty line."""
    text = end.join(lines) + end * last_ends
    raw = io.BytesIO(text.encode("utf-8-sig" if mark else "utf-8"))
    ends_nothing = not last_ends and not lines[-1] and (len(lines) > 1 or not mark)
    assert list(decoded_lines(raw, "a text")) == (lines[:-1] if ends_nothing else lines)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no BOM", "BOM"])
@pytest.mark.parametrize("before", [b"", b"one\n", b"one\ntw\xc3\xb6\r\n", b"x" * 1500 + b"\n\n"])
def test_invalid_utf8_is_located(tmp_path: Path, before: bytes, mark: bytes) -> None:
    path = tmp_path / "latin.txt"
    start = mark + before + b"f"
    path.write_bytes(start + b"\xe4r\nmore\n")
    position, line = f"{len(start):,}", before.count(b"\n") + 1
    with pytest.raises(
        UserError, match=rf"latin.txt is not UTF-8 at byte {position} \(line {line}\): save it as UTF-8"
    ):
        list(read_lines(path))


@pytest.mark.parametrize("before", [b"", b"one\n", b"one\ntw\xc3\xb6\n"])
def test_binary_files_are_refused(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "image.txt"
    path.write_bytes(before + b"PNG\0\xff\n")
    line = before.count(b"\n") + 1
    message = rf"image.txt is binary \(byte {len(before) + 3}, line {line}, is zero\): use a text file"
    with pytest.raises(UserError, match=message):
        list(read_lines(path))


def test_lines_before_an_error_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"one\ntwo\n\xff\n")
    lines = read_lines(path)
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(UserError, match="byte 8"):
        next(lines)


def test_unreadable_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.txt cannot be read \(no such file"):
        list(read_lines(tmp_path / "none.txt"))
    with pytest.raises(UserError, match=rf"{tmp_path.name} cannot be read \(is a directory"):
        list(read_lines(tmp_path))


def test_only_lf_and_crlf_end_lines(tmp_path: Path) -> None:
    text = "a\u2028b\x85c\x0cd\x1ce\rf\r\ng\n"
    for path in (tmp_path / "text.txt", tmp_path / "text.txt.gz"):
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        assert list(read_lines(path)) == ["a\u2028b\x85c\x0cd\x1ce f", "g"]
        assert list(read_lines(path, keep_ends=True)) == ["a\u2028b\x85c\x0cd\x1ce f\r\n", "g\n"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\rtwo\r", "has the line breaks of old Mac files"),
        ("one".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (gzip.compress(b"one\n"), "is a gzip file: rename it to end with .gz"),
    ],
    ids=["old Mac", "UTF-16", "gzip"],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_lines(tmp_path / "text.txt"))


@pytest.mark.parametrize("damage", ["cut", "changed", "not gzip"])
def test_damaged_gzip_files_are_refused(tmp_path: Path, damage: str) -> None:
    packed = bytearray(gzip.compress("\n".join(map(str, range(9_999))).encode()))
    if damage == "changed":
        packed[500:900] = bytes(400)
    content = {"cut": packed[:-20], "changed": packed, "not gzip": b"one\n"}[damage]
    (tmp_path / "text.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"text\.gz is truncated or not a gzip file: replace it with a complete copy"):
        list(read_lines(tmp_path / "text.gz"))


def test_line_breaks_of_a_text_become_spaces() -> None:
    assert one_line("a\r\nb\nc\rd\u2028e\x85f\x0bg\x0ch\x1ci\0\tj\xa0k") == "a b c d e f g h i \tj\xa0k"


def whole_lines(parts: list[LinePart]) -> list[str]:
    text = "".join(part.text + "\n" * part.ends for part in parts)
    return text.split("\n")[:-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(lines_without_ends, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(), st.integers(1, 20))
def test_parts_of_lines_are_the_lines(
    tmp_path: Path, lines: list[str], end: str, last_ends: bool, anywhere: bool, size: int
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes((end.join(lines) + end * last_ends).encode())
    parts = list(read_parts(path, anywhere=anywhere, part_bytes=size))
    assert whole_lines(parts) == list(read_lines(path))
    assert all(part.ends or part.text for part in parts)


@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "basic_english"])
def test_no_token_is_split_between_parts(tmp_path: Path, tokenizer: str) -> None:
    text = "It's  3.5 m<br />long,<br /><br />said the well-known ΣΟΦΟΣ of Köln " * 3
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    tokenize = make_tokenizer(tokenizer)
    for size in range(1, 40):
        parts = list(read_parts(path, part_bytes=size))
        assert [token for part in parts for token in tokenize(part.text)] == tokenize(text)
    assert len(parts) > 3
    assert [part.ends for part in parts] == [*[False] * (len(parts) - 1), True]


def test_errors_in_parts_of_lines_are_located(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"one two three\nfour five six\xe4 seven eight\n")
    with pytest.raises(UserError, match=r"latin.txt is not UTF-8 at byte 27 \(line 2\)"):
        list(read_parts(path, part_bytes=4))


@pytest.mark.parametrize("anywhere", [False, True])
def test_long_first_line_may_contain_a_carriage_return(tmp_path: Path, anywhere: bool) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"one two\rthree four five\nsix\r\n")
    parts = list(read_parts(path, anywhere=anywhere, part_bytes=4))
    assert whole_lines(parts) == list(read_lines(path)) == ["one two three four five", "six"]
    assert len(parts) > 3


@pytest.mark.parametrize("part_bytes", [4, 2**20])
@pytest.mark.parametrize("anywhere", [False, True])
def test_old_mac_files_are_refused_in_parts(tmp_path: Path, part_bytes: int, anywhere: bool) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"one two\rthree four five\rsix\r")
    with pytest.raises(UserError, match=r"text\.txt has the line breaks of old Mac files"):
        list(read_parts(path, anywhere=anywhere, part_bytes=part_bytes))
    path.write_bytes(b"one two three four five\r")
    assert whole_lines(list(read_parts(path, anywhere=anywhere, part_bytes=part_bytes))) == ["one two three four five "]


@pytest.mark.parametrize(("name", "packed"), [("a.txt", False), ("a.txt.gz", True), ("a.GZ", True), ("gz", False)])
def test_gzipped_files_are_recognised_by_their_names(name: str, packed: bool) -> None:
    assert is_packed(Path(name)) == packed


def test_only_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match=r"/pipe is a pipe: save its contents in a file"):
        check_not_pipe(pipe)
    with pytest.raises(UserError, match=r"^here=/dev/null is not a regular file: save its contents in a file"):
        check_not_pipe(Path("/dev/null"), "here=/dev/null")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path, tmp_path / "file", tmp_path / "link", tmp_path / "none"):
        check_not_pipe(path)
