"""A running text that others have published in three files, in a folder or an archive."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from sluice.data.fingerprints import SourceFile, Sources
from sluice.data.running_text import Line, file_lines
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
        """The folder or archive, for people."""
        return f"{self.title} in {self.path}"

    @property
    def sources(self) -> Sources:
        """The archive or the three files."""
        if self.path.is_dir():
            return Sources(self.title, tuple(SourceFile(split, self.path / file) for split, file in self.files.items()))
        return Sources(self.title, (SourceFile("archive", self.path),))

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
