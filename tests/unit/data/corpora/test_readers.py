"""Decoding of lines, and the location of errors."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.corpora.readers import decoded_lines, file_lines, line_end_size
from sluice.errors import UserError

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


@pytest.mark.parametrize(("content", "size"), [(b"a\nb\r\n", 1), (b"\r\n", 2), (b"a", 1), (b"", 1)])
def test_line_end_size_is_that_of_the_first_line(tmp_path: Path, content: bytes, size: int) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    assert line_end_size(path) == size


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
        list(file_lines(path))


@pytest.mark.parametrize("before", [b"", b"one\n", b"one\ntw\xc3\xb6\n"])
def test_binary_files_are_refused(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "image.txt"
    path.write_bytes(before + b"PNG\0\xff\n")
    with pytest.raises(UserError, match=rf"image.txt is binary \(byte {len(before) + 3} is zero\): use a text file"):
        list(file_lines(path))


def test_lines_before_an_error_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"one\ntwo\n\xff\n")
    lines = file_lines(path)
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(UserError, match="byte 8"):
        next(lines)


def test_unreadable_files_are_reported(tmp_path: Path) -> None:
    for read in (line_end_size, lambda path: list(file_lines(path))):
        with pytest.raises(UserError, match=r"none.txt cannot be read \(no such file"):
            read(tmp_path / "none.txt")
    with pytest.raises(UserError, match=rf"{tmp_path.name} cannot be read \(is a directory"):
        list(file_lines(tmp_path))
