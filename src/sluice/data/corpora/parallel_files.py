"""Parallel corpora in files: two aligned files, or one file of pairs."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

from sluice.data.corpus import SentencePair, Sources
from sluice.errors import UserError, not_empty
from sluice.text.lines import read_lines

PairPaths: TypeAlias = Path | tuple[Path, Path]
"""A file with one pair per line, or a file of sentences and a file of their translations."""


class ParallelFiles:
    """Sentences and translations from files, plain or gzipped, all in UTF-8.

    Two files are aligned line by line. A single file has one pair per line, separated by a tab; further columns are
    ignored. Splits without files are held out from "train" by the DataModule.
    """

    def __init__(
        self,
        *,
        train: PairPaths,
        val: PairPaths | None = None,
        test: PairPaths | None = None,
        source_language: str = "",
        target_language: str = "",
        columns: tuple[int, int] = (1, 2),
        name: str = "file",
        known_bytes: int | None = None,
    ) -> None:
        """
        Args:
            train: training pairs.
            val: validation pairs, if any.
            test: test pairs, if any.
            source_language: code of the source language.
            target_language: code of the target language.
            columns: columns of source and target in a file with one pair per line, counted from 1.
            name: name of the corpus in results.json.
            known_bytes: decompressed size of the largest published file; None for user-supplied files of any size.

        Raises:
            UserError: if the columns are equal or below 1.
        """
        if min(columns) < 1 or columns[0] == columns[1]:
            raise UserError(f"the columns {columns} must be two different numbers of at least 1, such as 1 and 2")
        self.source_language, self.target_language = source_language, target_language
        self.columns, self.name, self.known_bytes = columns, name, known_bytes
        self.files = {split: paths for split, paths in (("train", train), ("val", val), ("test", test)) if paths}

    @property
    def description(self) -> str:
        """Description of the files."""
        paths = list(dict.fromkeys(self._paths().values()))
        if len(paths) > 2 and len({path.parent for path in paths}) == 1:
            return f"sentence pairs in {len(paths)} files of {paths[0].parent}"
        return f"sentence pairs in {', '.join(map(str, paths))}"

    @property
    def sources(self) -> Sources:
        """The files and the columns."""
        return Sources.of(f"sentence pairs in columns {self.columns[0]} and {self.columns[1]}", self._paths())

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair once, split by split and in the files' order.

        Raises:
            UserError: if a file cannot be read, is not UTF-8 or is empty, two files differ in their number of lines, or
                a line has too few columns.
        """
        for split, paths in self.files.items():
            if isinstance(paths, tuple):
                read = read_aligned(*paths, self.known_bytes)
            else:
                read = read_table(paths, self.columns)
            for source, target in read:
                yield SentencePair(split, source, target)

    def _paths(self) -> dict[str, Path]:
        """Returns the files by their role."""
        found: dict[str, Path] = {}
        for split, paths in self.files.items():
            if isinstance(paths, tuple):
                found |= {f"{split} source": paths[0], f"{split} target": paths[1]}
            else:
                found[split] = paths
        return found


def read_aligned(source: Path, target: Path, known_bytes: int | None = None) -> Iterator[tuple[str, str]]:
    """Yields the pairs of lines of two files.

    Args:
        source: file of sentences.
        target: file of their translations.
        known_bytes: see `read_lines`.

    Raises:
        UserError: as `read_lines`, or if the files differ in their number of lines.
    """
    counts = [0, 0]
    for pair in zip_longest(_some_lines(source, known_bytes), _some_lines(target, known_bytes)):
        for side, line in enumerate(pair):
            counts[side] += line is not None
        if counts[0] == counts[1]:
            yield pair
    if counts[0] != counts[1]:
        raise UserError(
            f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}: each line must be the "
            "translation of the same line of the other file, so both files must have the same number of lines"
        )


def read_table(path: Path, columns: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Yields the two columns of every line, counted from 1.

    Raises:
        UserError: as `read_lines`, or if a line has too few columns.
    """
    for number, line in enumerate(_some_lines(path), start=1):
        fields = line.split("\t")
        if not line.strip():
            fields = [""] * max(columns)
        if len(fields) < max(columns):
            raise UserError(
                f"{path}, line {number}: the line has {len(fields)} column(s) separated by tabs, expected at least "
                f"{max(columns)}; add the missing columns, or use two files"
            )
        yield fields[columns[0] - 1], fields[columns[1] - 1]


def _some_lines(path: Path, known_bytes: int | None = None) -> Iterator[str]:
    return not_empty(read_lines(path, known_bytes), f"{path} has no lines: add at least one sentence")
