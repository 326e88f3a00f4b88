"""Running text in files: published in three files, or user-supplied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import ClassVar

from sluice.data.corpus import Line, SourceFile, Sources
from sluice.errors import UserError
from sluice.text.lines import open_binary, read_lines


class PublishedText:
    """A published text; the number of its lines is checked."""

    title: ClassVar[str]
    files: ClassVar[dict[str, str]]
    """File of each split."""
    published_lines: ClassVar[dict[str, int]]

    def __init__(self, path: Path, *, name: str = "local", line_counts: dict[str, int] | None = None) -> None:
        """
        Args:
            path: folder or archive.
            name: origin of the text, "local" or "download".
            line_counts: expected number of lines of each split; None for the published numbers.
        """
        self.path, self.name = path, name
        self.line_counts = self.published_lines if line_counts is None else line_counts

    @property
    def description(self) -> str:
        """Description of the folder or archive."""
        return f"{self.title} in {self.path}"

    @property
    def sources(self) -> Sources:
        """The archive or the three files."""
        if self.path.is_dir():
            return Sources.of(self.title, {split: self.path / file for split, file in self.files.items()})
        return Sources.of(self.title, {"archive": self.path})

    def lines(self) -> Iterator[Line]:
        """Yields every line.

        Raises:
            UserError: if a file is missing, damaged, or has an unexpected number of lines.
        """
        counts = dict.fromkeys(self.files, 0)
        for split, texts in self._folder() if self.path.is_dir() else self._archive():
            for text in texts:
                counts[split] += 1
                yield Line(split, text)
        for split, count in counts.items():
            if count != self.line_counts[split]:
                raise UserError(
                    f"{self.files[split]} in {self.path} has {count:,} lines instead of "
                    f"{self.line_counts[split]:,} as in {self.title}: replace it with a complete copy, or use "
                    "task=corpus for your own text"
                )

    def _folder(self) -> Iterator[tuple[str, Iterator[str]]]:
        for split, file in self.files.items():
            yield split, read_lines(self.path / file)

    def _archive(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Yields splits and their lines, in the order of the archive."""
        raise NotImplementedError


MIN_FILES = 10
"""Minimum number of files for splits that begin with a file; fewer files are split at paragraphs or lines."""


@dataclass(frozen=True)
class TextFiles:
    """User-supplied text files, in the order of their names.

    Without separate validation and test files, the last parts of the text are held out. A split begins with a file if
    there are many files, else after an empty line, else with any line.
    """

    path: Path
    validation_path: Path | None = None
    test_path: Path | None = None
    validation_fraction: float = 0.05
    test_fraction: float = 0.05
    pattern: str = "*.txt"
    name: str = "file"

    @property
    def description(self) -> str:
        """Description of the file or folder."""
        files = len(self._files(self.path))
        return f"{self.path}" if self.path.is_file() else f"{files} files in {self.path}"

    @property
    def sources(self) -> Sources:
        """The files, and the fractions that are held out."""
        parts = {"train": self.path, "val": self.validation_path, "test": self.test_path}
        files = [SourceFile(split, file) for split, path in parts.items() if path for file in self._files(path)]
        fractions = {"val": self.validation_fraction, "test": self.test_fraction}
        cut = ", ".join(f"{split} {fraction}" for split, fraction in fractions.items() if parts[split] is None)
        return Sources(f"text cut into {cut}" if cut else "text", tuple(files))

    def lines(self) -> Iterator[Line]:
        """Yields every line, the training text first.

        Raises:
            UserError: if a file is missing, cannot be read, or is not UTF-8 text.
        """
        held = [
            (split, path, fraction)
            for split, path, fraction in (
                ("val", self.validation_path, self.validation_fraction),
                ("test", self.test_path, self.test_fraction),
            )
        ]
        cut = [(split, fraction) for split, path, fraction in held if path is None]
        yield from _parts(self._files(self.path), cut)
        for split, path, _ in held:
            for file in self._files(path) if path else []:
                for text in read_lines(file):
                    yield Line(split, text)

    def _files(self, path: Path) -> list[Path]:
        """Returns the files of a path, sorted by name.

        Raises:
            UserError: if there are none, or the pattern leaves the folder.
        """
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UserError(f"{path} does not exist: set task.data.path to a text file, or to a folder of text files")
        if Path(self.pattern).is_absolute() or ".." in Path(self.pattern).parts:
            raise UserError(f"task.data.pattern={self.pattern} leaves the folder {path}: use a pattern within it")
        files = sorted(file for file in path.rglob(self.pattern) if file.is_file())
        if not files:
            raise UserError(f"there are no files {self.pattern} in {path}: set another pattern with task.data.pattern")
        return files


def _parts(files: Sequence[Path], cut: list[tuple[str, float]]) -> Iterator[Line]:
    """Yields the lines of the files; the splits of `cut` take the last parts of the text.

    Args:
        files: text files.
        cut: splits to hold out, with their fractions of all bytes. Each starts at the next boundary (file, paragraph or
            line).
    """
    *starts, total = [0, *accumulate(file.stat().st_size for file in files)]
    begin = 1 - sum(fraction for _, fraction in cut)
    if begin <= 0:
        raise UserError(
            "task.data.validation_fraction and task.data.test_fraction leave no text to train on: reduce them"
        )
    upcoming = []
    for split, fraction in cut:
        upcoming.append((begin * total, split))
        begin += fraction
    spans = list(pairwise([*(start for start, _ in upcoming), total]))
    by_file = len(files) >= MIN_FILES and all(any(a <= start < b for start in starts) for a, b in spans)
    by_line = not by_file and not any(_has_paragraphs(file) for file in files)
    split = "train"
    for file, position in zip(files, starts, strict=True):
        first, blank_before, end = True, False, _line_end_size(file)
        for text in read_lines(file):
            boundary = first if by_file else first or by_line or (blank_before and bool(text.strip()))
            if boundary and upcoming and position >= upcoming[0][0]:
                split = upcoming.pop(0)[1]
            first, blank_before = False, not text.strip()
            position += len(text.encode()) + end
            yield Line(split, text)


def _has_paragraphs(file: Path) -> bool:
    """Returns whether empty lines separate at least 50 paragraphs."""
    found, blank = 0, True
    for text in read_lines(file):
        found += blank and bool(text.strip())
        blank = not text.strip()
        if found >= 50:
            return True
    return False


def _line_end_size(file: Path) -> int:
    """Returns the number of bytes of a line break, determined from the first line of a file."""
    with open_binary(file) as opened:
        return 2 if opened.readline().endswith(b"\r\n") else 1
