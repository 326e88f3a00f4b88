"""Parallel texts in files: two aligned files, or one with a pair a line."""

import gzip
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from sluice.data.archive_limits import limited
from sluice.data.fingerprints import SourceFile, Sources
from sluice.data.pairs import SentencePair
from sluice.errors import UserError

PairPaths: TypeAlias = Path | tuple[Path, Path]
"""A file with a pair a line, or a file of sentences and a file of their translations."""


class ParallelFiles:
    """Sentences and translations from files, plain or gzipped, all in UTF-8.

    Two files are aligned line by line. A single file has a pair a line, the two parted by a tab; further columns are
    left alone. Splits without files are left for others to cut from "train".
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
            val: validation pairs, if there are files of them.
            test: test pairs, if there are files of them.
            source_language: code of the language translated from.
            target_language: code of the language translated into.
            columns: of source and target in a file with a pair a line, counted from 1.
            name: what results.json calls the corpus.
            known_bytes: of the largest file as published, expanded; None for files of one's own, of any size.

        Raises:
            UserError: if the columns are not two different ones.
        """
        if min(columns) < 1 or columns[0] == columns[1]:
            raise UserError(f"the columns {columns} are not two different ones counted from 1: choose, say, 1 and 2")
        self.source_language, self.target_language = source_language, target_language
        self.columns, self.name, self.known_bytes = columns, name, known_bytes
        self.files = {split: paths for split, paths in (("train", train), ("val", val), ("test", test)) if paths}

    @property
    def description(self) -> str:
        """The files, for people."""
        return f"sentence pairs in {', '.join(str(path) for path in self._paths())}"

    @property
    def sources(self) -> Sources:
        """The files and the columns."""
        files = []
        for split, paths in self.files.items():
            if isinstance(paths, tuple):
                files += [SourceFile(f"{split} source", paths[0]), SourceFile(f"{split} target", paths[1])]
            else:
                files.append(SourceFile(split, paths))
        return Sources(f"sentence pairs in columns {self.columns[0]} and {self.columns[1]}", tuple(files))

    def pairs(self) -> Iterator[SentencePair]:
        """Yields every pair once, split by split and in the files' order.

        Raises:
            UserError: a file cannot be read, is no UTF-8 or holds no line, two files differ in their number of lines,
                or a line has too few columns.
        """
        for split, paths in self.files.items():
            if isinstance(paths, tuple):
                read = read_aligned(*paths, self.known_bytes)
            else:
                read = read_table(paths, self.columns)
            for source, target in read:
                yield SentencePair(split, source, target)

    def _paths(self) -> list[Path]:
        return [path for paths in self.files.values() for path in (paths if isinstance(paths, tuple) else (paths,))]


def read_aligned(source: Path, target: Path, known_bytes: int | None = None) -> Iterator[tuple[str, str]]:
    """Yields line after line of both files; for `known_bytes` see `read_lines`.

    Raises:
        UserError: as `read_lines`, or if the files differ in their number of lines.
    """
    counts = [0, 0]
    for pair in zip_longest(read_lines(source, known_bytes), read_lines(target, known_bytes)):
        for side, line in enumerate(pair):
            counts[side] += line is not None
        if counts[0] == counts[1]:
            yield pair
    if counts[0] != counts[1]:
        raise UserError(
            f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}: line by line one must be the "
            "translation of the other, so give two files of equal length."
        )


def read_table(path: Path, columns: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Yields the two columns of every line, counted from 1.

    Raises:
        UserError: as `read_lines`, or if a line has too few columns.
    """
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t")
        if not line.strip():
            fields = [""] * max(columns)
        if len(fields) < max(columns):
            raise UserError(
                f"{path}, line {number}: the line has {len(fields)} column(s) parted by tabs, and column "
                f"{max(columns)} is wanted; add what is missing, or name two files."
            )
        yield fields[columns[0] - 1], fields[columns[1] - 1]


def read_lines(path: Path, known_bytes: int | None = None) -> Iterator[str]:
    """Yields the lines of a file, plain or gzipped (.gz), without their line breaks.

    Args:
        path: of the file.
        known_bytes: of a published file, expanded; None for a file of any size.

    Raises:
        UserError: the file is missing, damaged, no UTF-8 (the line is named), empty or far larger than is known.
    """
    number = 0
    try:
        with _opened(path, known_bytes) as file:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {number}: byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} ends too early or is no gzip file: replace it with a complete copy.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path and its rights.") from error
    if number == 0:
        raise UserError(f"{path} holds no lines: give it at least one sentence.")


def _opened(path: Path, known_bytes: int | None) -> Any:
    if path.suffix != ".gz":
        return path.open("rb")
    packed: Any = gzip.open(path, "rb")  # noqa: SIM115 - the caller closes what it is given
    return packed if known_bytes is None else limited(packed, path, known_bytes)
