"""User-supplied text: order of the files, and the split into three parts."""

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fingerprints import fingerprint
from sluice.data.corpora.held_out import MIN_FILES, HeldOut
from sluice.data.corpora.text_files import TextFiles
from sluice.errors import UserError


def parts(text: TextFiles) -> dict[str, list[str]]:
    """The lines of each split."""
    lines = list(text.lines())
    return {split: [line.text for line in lines if line.split == split] for split in ("train", "val", "test")}


def write(path: Path, lines: Sequence[str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def sizes(found: dict[str, list[str]]) -> list[int]:
    return [len(found[split]) for split in ("train", "val", "test")]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_text_without_paragraphs_is_split_at_lines(tmp_path: Path, end: str) -> None:
    lines = [f"{number:03}" for number in range(200)]
    found = parts(TextFiles(path=write(tmp_path / "book.txt", lines, end)))
    assert [line for split in found.values() for line in split] == lines
    assert sizes(found) == pytest.approx([180, 10, 10], abs=1)


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_text_with_paragraphs_is_split_between_them(tmp_path: Path, end: str) -> None:
    lines = [line for number in range(100) for line in (f"{number:02} begins", "and goes", "on", "")]
    found = parts(TextFiles(path=write(tmp_path / "book.txt", lines, end), validation_fraction=0.1, test_fraction=0.2))
    assert [line for split in found.values() for line in split] == lines
    for split in found.values():
        assert split[0].endswith("begins")
        assert split[-1] == ""
    assert sizes(found) == [280, 40, 80]


@pytest.mark.parametrize("files", [MIN_FILES, 12, 19, 20, 40])
def test_many_files_give_every_split_some_text(tmp_path: Path, files: int) -> None:
    """Files of equal length with the default fractions."""
    for number in range(files):
        write(tmp_path / f"{number:02}.txt", [f"{number:02} {line:02}" for line in range(40)])
    found = parts(TextFiles(path=tmp_path))
    assert sum(sizes(found)) == files * 40
    assert all(0.02 <= size / (files * 40) <= 0.1 for size in sizes(found)[1:]), sizes(found)


def test_splits_begin_with_files_if_there_are_many(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path / f"{number:02}.txt", [f"{number:02} {line}" for line in range(3)])
    found = parts(TextFiles(path=tmp_path))
    assert sizes(found) == [270, 15, 15]
    assert [found[split][0] for split in found] == ["00 0", "90 0", "95 0"]


def test_one_long_file_among_many_is_split(tmp_path: Path) -> None:
    for number in range(15):
        write(tmp_path / f"{number:02}.txt", [f"{number:02}"])
    write(tmp_path / "99.txt", [f"long {line:03}" for line in range(500)])
    assert min(sizes(parts(TextFiles(path=tmp_path)))) > 20


def test_files_are_read_in_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/y.txt", "c.md"):
        write(tmp_path / name, [name])
    text = TextFiles(path=tmp_path, validation_path=tmp_path / "c.md", test_path=tmp_path / "b.txt")
    assert parts(text) == {"train": ["a/y.txt", "a/z.txt", "b.txt"], "val": ["c.md"], "test": ["b.txt"]}
    assert text.description == f"3 files in {tmp_path}, validation {tmp_path}/c.md, test {tmp_path}/b.txt"
    assert TextFiles(path=tmp_path).description == f"3 files in {tmp_path}"
    named = TextFiles(path=tmp_path, pattern="*.md", validation_path=tmp_path / "a/y.txt", test_path=tmp_path / "b.txt")
    assert parts(named)["train"] == ["c.md"]


def test_files_for_one_split_leave_the_other_to_be_cut(tmp_path: Path) -> None:
    lines = [f"{number:03}" for number in range(100)]
    book, other = write(tmp_path / "book.txt", lines), write(tmp_path / "other/x.txt", ["other"])
    assert parts(TextFiles(path=book, validation_path=other.parent)) == {
        "train": lines[:95],
        "val": ["other"],
        "test": lines[95:],
    }
    assert parts(TextFiles(path=book, test_path=other, validation_fraction=0.2)) == {
        "train": lines[:80],
        "val": lines[80:],
        "test": ["other"],
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 6), min_size=30, max_size=200),
    st.floats(0.02, 0.4),
    st.floats(0.02, 0.4),
    st.sampled_from(["\n", "\r\n"]),
)
def test_splits_have_all_lines_and_about_their_fractions(
    tmp_path: Path, lengths: list[int], validation: float, test: float, end: str
) -> None:
    lines = [f"{number:03}" + "x" * length for number, length in enumerate(lengths)]
    path = write(tmp_path / "book.txt", lines, end)
    found = parts(TextFiles(path=path, validation_fraction=validation, test_fraction=test))
    assert [line for split in found.values() for line in split] == lines
    total, longest = path.stat().st_size, 11
    for split, fraction in (("val", validation), ("test", test)):
        size = sum(len(line) + len(end) for line in found[split])
        assert abs(size - fraction * total) <= 2 * longest  # the border, and at least one line per split


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.txt", b"one\nf\xe4r\n", r"latin.txt is not UTF-8 at byte 5 \(line 2\)"),
        ("image.txt", b"\x89PNG\0\0", r"image.txt is binary \(byte 4, line 1, is zero\)"),
    ],
)
def test_files_that_are_not_text_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    write(tmp_path / "fine.txt", ["fine"])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        list(TextFiles(path=tmp_path).lines())


def test_unreadable_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    book = write(tmp_path / "book.txt", ["one"])
    monkeypatch.setattr(Path, "open", shut)
    with pytest.raises(UserError, match=r"book.txt cannot be read \(permission denied"):
        list(TextFiles(path=book).lines())


def test_missing_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none does not exist: set task.data.path to"):
        list(TextFiles(path=tmp_path / "none").lines())
    with pytest.raises(UserError, match=rf"no files \*.txt in {tmp_path}: set another pattern with task.data.pattern"):
        list(TextFiles(path=tmp_path).lines())
    book = write(tmp_path / "book.txt", ["one"])
    for own in ({"validation_path": tmp_path / "none"}, {"test_path": tmp_path / "none"}):
        with pytest.raises(UserError, match="none does not exist"):
            list(TextFiles(path=book, **own).lines())


def test_fractions_that_leave_no_training_text_are_refused(tmp_path: Path) -> None:
    book = write(tmp_path / "book.txt", ["one"] * 10)
    with pytest.raises(UserError, match=r"validation_fraction and task.data.test_fraction leave no text to train on"):
        list(TextFiles(path=book, validation_fraction=0.5, test_fraction=0.5).lines())


def test_fingerprint_depends_on_files_and_fractions(tmp_path: Path) -> None:
    book, other = write(tmp_path / "in/book.txt", ["one"]), write(tmp_path / "other.txt", ["two"])
    prints = {
        fingerprint(TextFiles(path=book)),
        fingerprint(TextFiles(path=book, validation_fraction=0.1)),
        fingerprint(TextFiles(path=book, test_fraction=0.1)),
        fingerprint(TextFiles(path=book, validation_path=other)),
        fingerprint(TextFiles(path=book, test_path=other)),
    }
    assert len(prints) == 5
    before = fingerprint(TextFiles(path=book.parent))
    assert fingerprint(TextFiles(path=book.parent)) == before
    write(book.parent / "second.txt", ["two"])
    added = fingerprint(TextFiles(path=book.parent))
    write(book, ["one", "more"])
    assert len({before, added, fingerprint(TextFiles(path=book.parent))}) == 3


def joined(found: TextFiles | HeldOut) -> dict[str, str]:
    """The text of each split, with a line break where a line ends."""
    texts = dict.fromkeys(("train", "val", "test"), "")
    for line in found.lines():
        texts[line.split] += line.text + "\n" * line.ends
    return texts


WORDS = " ".join(f"wörd{number}" for number in range(20_000))


@pytest.mark.parametrize("lines", [1, 4])
def test_long_lines_are_split_at_white_space(tmp_path: Path, lines: int) -> None:
    words = WORDS.split()
    each = len(words) // lines
    text = "\n".join(" ".join(words[start : start + each]) for start in range(0, len(words), each)) + "\n"
    found = joined(TextFiles(path=write(tmp_path / "long.txt", [text], end="")))
    assert "".join(found.values()) == text
    assert [part for split in found.values() for part in split.split()] == words
    for split, fraction in (("train", 0.9), ("val", 0.05), ("test", 0.05)):
        assert len(found[split].encode()) == pytest.approx(fraction * len(text.encode()), abs=20)
    assert found["train"].count("\n") == found["val"].count("\n") + lines - 1 == lines - 1


def test_characters_of_one_line_are_split_anywhere(tmp_path: Path) -> None:
    book = write(tmp_path / "long.txt", ["é" * 1000])
    found = joined(TextFiles(path=book, by_characters=True))
    assert found == {"train": "é" * 900, "val": "é" * 50, "test": "é" * 50 + "\n"}
    write(book, ["é" * 6000] * 3 + ["four", "five"])
    assert sizes(parts(TextFiles(path=book))) == [3, 1, 1]
    write(book, ["é" * 6000])
    with pytest.raises(UserError, match=r"long.txt has no line break or white space where the val part would begin"):
        list(TextFiles(path=book).lines())


@pytest.mark.parametrize("by_characters", [False, True], ids=["words", "characters"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_size_of_read_parts_does_not_matter(tmp_path: Path, end: str, by_characters: bool) -> None:
    book = write(tmp_path / "long.txt", [WORDS[:3000], "", "short", WORDS[:500]], end)
    cut = (("val", 0.1), ("test", 0.2))
    whole = joined(HeldOut([book], cut, by_characters))
    assert all(whole.values())
    assert joined(HeldOut([book], cut, by_characters, part_bytes=16)) == whole


def test_lines_are_split_only_if_needed(tmp_path: Path) -> None:
    lines = ["one two three"] * 5 + [WORDS[:5000]] * 3
    book = write(tmp_path / "book.txt", lines)
    assert sizes(parts(TextFiles(path=book))) == [8, 1, 1], "no line begins in the last tenth"
    write(book, [*lines, "four", "five"])
    assert [parts(TextFiles(path=book))[split] for split in ("val", "test")] == [["four"], ["five"]]
    write(book, [line * 3 for line in lines] + ["four", "five"])
    assert sizes(parts(TextFiles(path=book))) == [8, 1, 3], "long lines, and parts of four bytes"


def test_gzipped_text_is_split_as_the_plain_text(tmp_path: Path) -> None:
    book = write(tmp_path / "plain/book.txt", [f"{number:03}" for number in range(200)])
    packed = tmp_path / "packed/book.txt.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(book.read_bytes()))
    expected = parts(TextFiles(path=book))
    assert sizes(expected) == pytest.approx([180, 10, 10], abs=1)
    assert parts(TextFiles(path=packed)) == parts(TextFiles(path=packed.parent)) == expected
    recipe = TextFiles(path=packed).sources.recipe
    packed = packed.rename(packed.with_suffix(".GZ"))
    assert parts(TextFiles(path=packed)) == parts(TextFiles(path=packed.parent)) == expected
    assert TextFiles(path=packed).sources.recipe == recipe
    packed.rename(book.parent / "book.txt.gz")
    assert parts(TextFiles(path=book.parent)) == expected, "the plain file is preferred"


@pytest.mark.parametrize(("name", "field"), [("validation", "validation_path"), ("test", "test_path")])
def test_empty_separate_text_is_reported(tmp_path: Path, name: str, field: str) -> None:
    book, empty = write(tmp_path / "book.txt", ["one"] * 30), write(tmp_path / "empty.txt", [])
    with pytest.raises(UserError, match=rf"the {name} text .*empty.txt is empty: set task.data.{field} to a text"):
        list(TextFiles(path=book, **{field: empty}).lines())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt", "in/b.txt"]),
        ("**/*.txt", ["a.txt", "in/b.txt"]),
        ("in/*", ["in/b.txt"]),
        (".*.txt", ["._a.txt", "in/.c.txt", "in/.z.txt"]),
        (".hidden/*.txt", [".hidden/a.txt"]),
        (".hidden/.*.txt", [".hidden/.d.txt"]),
        (".hidden/**/*.txt", [".hidden/a.txt", ".hidden/deep/e.txt"]),
    ],
)
def test_hidden_files_are_found_only_if_the_pattern_names_them(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    folder = tmp_path / ".cache"
    names = ("a.txt", "._a.txt", "in/b.txt", "in/.c.txt", ".hidden/a.txt", ".hidden/.d.txt", ".hidden/deep/e.txt")
    for name in names:
        write(folder / name, [name])
    (folder / "in/.z.txt.gz").write_bytes(gzip.compress(b"packed\n"))
    expected = [f"{name}.gz" if name.endswith("z.txt") else name for name in expected]
    files = TextFiles(path=folder, pattern=pattern, validation_path=folder / "a.txt", test_path=folder / "a.txt")
    found = [str(file.path.relative_to(folder)) for file in files.sources.files if file.role == "train"]
    assert found == expected


def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe is a pipe: save its contents in a file"):
        list(TextFiles(path=tmp_path / "pipe").lines())
