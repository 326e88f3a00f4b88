"""Running texts in files: published in three files, or a user's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import ClassVar

from sluice.data.corpora.readers import file_lines, line_end_size
from sluice.data.corpus import Line, SourceFile, Sources
from sluice.errors import UserError


class PublishedText:
    """Its lines, counted against the published numbers."""

    title: ClassVar[str]
    files: ClassVar[dict[str, str]]
    """Of each split."""
    published_lines: ClassVar[dict[str, int]]

    def __init__(self, path: Path, *, name: str = "local", line_counts: dict[str, int] | None = None) -> None:
        """
        Args:
            path: the folder or the archive.
            name: where it came from.
            line_counts: lines that each split must have; None for the published ones.
        """
        self.path, self.name = path, name
        self.line_counts = self.published_lines if line_counts is None else line_counts

    @property
    def description(self) -> str:
        """The folder or archive, in words."""
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
            UserError: if a file is missing, damaged, or hasn't the published number of lines.
        """
        counts = dict.fromkeys(self.files, 0)
        for split, texts in self._folder() if self.path.is_dir() else self._archive():
            for text in texts:
                counts[split] += 1
                yield Line(split, text)
        for split, count in counts.items():
            if count != self.line_counts[split]:
                raise UserError(
                    f"{self.files[split]} in {self.path} has {count:,} lines, {self.title}'s has "
                    f"{self.line_counts[split]:,}: replace it with a whole copy, or read it as your own text with "
                    "task=corpus"
                )

    def _folder(self) -> Iterator[tuple[str, Iterator[str]]]:
        for split, file in self.files.items():
            yield split, file_lines(self.path / file)

    def _archive(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Splits and their lines, in the order of the archive."""
        raise NotImplementedError


MIN_FILES = 10
"""From so many files on, the parts begin where files do, if one begins in each; else where paragraphs or lines do."""


@dataclass(frozen=True)
class TextFiles:
    """Text files in the order of their names.

    Without files for validation and test, the last parts of the text are theirs, so that what is held out comes after
    what is learned. A part begins with a file where there are many, else after an empty line, else with a line.
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
        """The file or folder, in words."""
        files = len(self._files(self.path))
        return f"{self.path}" if self.path.is_file() else f"{files} files in {self.path}"

    @property
    def sources(self) -> Sources:
        """The files, and where the text is cut."""
        parts = {"train": self.path, "val": self.validation_path, "test": self.test_path}
        files = [SourceFile(split, file) for split, path in parts.items() if path for file in self._files(path)]
        shares = {"val": self.validation_fraction, "test": self.test_fraction}
        cut = ", ".join(f"{split} {share}" for split, share in shares.items() if parts[split] is None)
        return Sources(f"text cut into {cut}" if cut else "text", tuple(files))

    def lines(self) -> Iterator[Line]:
        """Yields every line, the training text first.

        Raises:
            UserError: if a file is missing, cannot be read, or isn't UTF-8 text.
        """
        held = [
            (split, path, share)
            for split, path, share in (
                ("val", self.validation_path, self.validation_fraction),
                ("test", self.test_path, self.test_fraction),
            )
        ]
        cut = [(split, share) for split, path, share in held if path is None]
        yield from _parts(self._files(self.path), cut)
        for split, path, _ in held:
            for file in self._files(path) if path else []:
                for text in file_lines(file):
                    yield Line(split, text)

    def _files(self, path: Path) -> list[Path]:
        """
        Raises:
            UserError: if there is none, or the pattern leaves the folder.
        """
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UserError(f"{path} does not exist: give task.data.path the text file, or the folder with the files")
        if Path(self.pattern).is_absolute() or ".." in Path(self.pattern).parts:
            raise UserError(f"task.data.pattern={self.pattern} leaves the folder {path}: give a pattern within it")
        files = sorted(file for file in path.rglob(self.pattern) if file.is_file())
        if not files:
            raise UserError(f"there is no file {self.pattern} in {path}: name others with task.data.pattern")
        return files


def _parts(files: Sequence[Path], cut: list[tuple[str, float]]) -> Iterator[Line]:
    """The lines of the files, the last shares of all bytes given to the splits of `cut`, at the next border."""
    *starts, total = [0, *accumulate(file.stat().st_size for file in files)]
    begins = 1 - sum(share for _, share in cut)
    if begins <= 0:
        raise UserError(
            "task.data.validation_fraction and task.data.test_fraction leave no text to train on: lower them"
        )
    waiting = []
    for split, share in cut:
        waiting.append((begins * total, split))
        begins += share
    spans = list(pairwise([*(place for place, _ in waiting), total]))
    by_file = len(files) >= MIN_FILES and all(any(a <= start < b for start in starts) for a, b in spans)
    by_line = not by_file and not any(_has_paragraphs(file) for file in files)
    split = "train"
    for file, place in zip(files, starts, strict=True):
        first, blank_before, end = True, False, line_end_size(file)
        for text in file_lines(file):
            border = first if by_file else first or by_line or (blank_before and bool(text.strip()))
            if border and waiting and place >= waiting[0][0]:
                split = waiting.pop(0)[1]
            first, blank_before = False, not text.strip()
            place += len(text.encode()) + end
            yield Line(split, text)


def _has_paragraphs(file: Path) -> bool:
    """Whether empty lines cut the text into a good number of pieces."""
    found, blank = 0, True
    for text in file_lines(file):
        found += blank and bool(text.strip())
        blank = not text.strip()
        if found >= 50:
            return True
    return False
