"""Running text in files: published in three files, or user-supplied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

from sluice.data.corpora.held_out import HeldOut
from sluice.data.corpus import Line, SourceFile, Sources
from sluice.errors import UserError
from sluice.text.lines import check_not_pipe, is_packed, read_lines, read_parts


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


@dataclass(frozen=True)
class TextFiles:
    """User-supplied text files, plain or gzipped (.gz), in the order of their names.

    Without separate validation and test files, the last parts of the text are held out, see `HeldOut`.
    """

    path: Path
    validation_path: Path | None = None
    test_path: Path | None = None
    validation_fraction: float = 0.05
    test_fraction: float = 0.05
    pattern: str = "*.txt"
    """Files of a folder; also finds gzipped files, such as *.txt.gz, except where the file itself is found.

    Hidden files and files in hidden folders, whose names begin with ".", are found only if that part of the pattern
    begins with "." too.
    """
    by_characters: bool = False
    """Whether a held-out part may begin within a line at any character, for models of characters."""
    name: str = "file"

    @property
    def description(self) -> str:
        """Description of the files or folders."""
        separate = {"validation": self.validation_path, "test": self.test_path}
        named = [f", {name} {self._described(path)}" for name, path in separate.items() if path is not None]
        return self._described(self.path) + "".join(named)

    def _described(self, path: Path) -> str:
        files = len(self._files(path))
        return f"{path}" if path.is_file() else f"{files} files in {path}"

    @property
    def sources(self) -> Sources:
        """The files, and the fractions that are held out."""
        parts = {"train": self.path, "val": self.validation_path, "test": self.test_path}
        files = [SourceFile(split, file) for split, path in parts.items() if path for file in self._files(path)]
        fractions = {"val": self.validation_fraction, "test": self.test_fraction}
        cut = ", ".join(f"{split} {fraction}" for split, fraction in fractions.items() if parts[split] is None)
        if cut and any(file.role == "train" and is_packed(file.path) for file in files):
            cut += " of the decompressed text"  # earlier versions took fractions of the compressed size
        return Sources(f"text cut into {cut}" if cut else "text", tuple(files))

    def lines(self) -> Iterator[Line]:
        """Yields every line, long ones in parts, the training text first.

        Raises:
            UserError: if a file is missing, cannot be read, or is not UTF-8 text, or a separate text is empty.
        """
        held = (
            ("val", "validation", self.validation_path, self.validation_fraction),
            ("test", "test", self.test_path, self.test_fraction),
        )
        cut = [(split, fraction) for split, _, path, fraction in held if path is None]
        yield from HeldOut(self._files(self.path), cut, self.by_characters).lines()
        for split, name, path, _ in held:
            if path is None:
                continue
            empty = True
            for file in self._files(path):
                for text, ends in read_parts(file, anywhere=self.by_characters):
                    empty = False
                    yield Line(split, text, ends)
            if empty:
                raise UserError(f"the {name} text {path} is empty: set task.data.{name}_path to a text with words")

    def _files(self, path: Path) -> list[Path]:
        """Returns the files of a path, sorted by name.

        Raises:
            UserError: if there are none, the path is a pipe, or the pattern leaves the folder or is invalid.
        """
        check_not_pipe(path)
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UserError(f"{path} does not exist: set task.data.path to a text file, or to a folder of text files")
        if Path(self.pattern).is_absolute() or ".." in Path(self.pattern).parts:
            raise UserError(f"task.data.pattern={self.pattern} leaves the folder {path}: use a pattern within it")
        try:
            plain, packed = (_found(path, pattern) for pattern in (self.pattern, f"{self.pattern}.[gG][zZ]"))
        except ValueError as error:  # ** within a name
            raise UserError(
                f"task.data.pattern={self.pattern} cannot be used: ** must be a folder of its own, as in **/*.txt"
            ) from error
        files = plain | {file for file in packed if file.with_suffix("") not in plain}
        if not files:
            raise UserError(f"there are no files {self.pattern} in {path}: set another pattern with task.data.pattern")
        return sorted(files)


def _found(folder: Path, pattern: str) -> set[Path]:
    """Returns the files below a folder that match a pattern; hidden ones only if the pattern names hidden ones."""
    parts = ("**", *Path(pattern).parts)
    return {
        file for file in folder.rglob(pattern) if file.is_file() and _matches(file.relative_to(folder).parts, parts)
    }


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Returns whether the names of a path match the parts of a pattern, with a "." only where the pattern has one."""
    if not pattern or not names:
        return not names and all(part == "**" for part in pattern)
    is_hidden = names[0].startswith(".")
    if pattern[0] == "**":
        return _matches(names, pattern[1:]) or (not is_hidden and _matches(names[1:], pattern))
    is_same = fnmatch(names[0], pattern[0]) and is_hidden <= pattern[0].startswith(".")
    return is_same and _matches(names[1:], pattern[1:])
