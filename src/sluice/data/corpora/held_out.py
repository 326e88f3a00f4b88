"""Validation and test parts held out from the end of running text."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from sluice.data.corpus import Line
from sluice.errors import UserError
from sluice.text.lines import PART_BYTES, is_packed, open_binary, read_parts

MIN_FILES = 10
"""Minimum number of files for splits that begin with a file; fewer files are split at paragraphs or lines."""
MIN_PARAGRAPHS = 50
"""Minimum number of paragraphs, separated by empty lines in one file, for splits that begin with a paragraph."""
LONG_LINE = 10_000
"""Bytes; a text with a longer line is split within lines if no other boundary lies near the fractions."""

_SPACE = re.compile(r"(?<!<br)\s")
"""White space, at which no token of a word tokenizer is split; "basic_english" removes "<br />"."""


class Position(NamedTuple):
    """A position in the text; ordered."""

    file: int
    byte: int
    """Offset in all decompressed files."""


@dataclass(frozen=True)
class HeldOut:
    """Files of running text, of which splits take the last parts.

    A split begins at the first boundary after its fraction of the bytes: with a file if there are many files, else
    with a paragraph if there are many, else with a line. It begins within a line, after white space, if a split were
    empty otherwise, or if the text has long lines and a split would have less than half or more than one and a half
    times its fraction.
    """

    files: Sequence[Path]
    fractions: Sequence[tuple[str, float]]
    """Splits to hold out, in order, with their fractions of all bytes."""
    by_characters: bool = False
    """Whether a split may begin within a line at any character."""
    part_bytes: int = PART_BYTES
    """Lines longer than this are read in parts."""

    def lines(self) -> Iterator[Line]:
        """Yields the lines and parts of lines.

        Raises:
            UserError: if the fractions leave no text to train on, a long last line has no white space, or a file cannot
                be read.
        """
        sizes = [_decompressed_size(file) if self.fractions else 0 for file in self.files]
        *starts, total = [0, *accumulate(sizes)]
        begins = deque(zip(self._begins(starts, total), (split for split, _ in self.fractions), strict=False))
        split = "train"
        for place, text, ends, _ in self._parts(starts):
            raw = text.encode()
            while begins and begins[0][0] <= place:
                split = begins.popleft()[1]
            while begins and begins[0][0] < (end := Position(place.file, place.byte + len(raw))):
                cut = begins[0][0].byte - end.byte
                yield Line(split, raw[:cut].decode(), ends=False)
                raw, split = raw[cut:], begins.popleft()[1]
                place = Position(place.file, end.byte - len(raw))
            yield Line(split, raw.decode(), ends)

    def _begins(self, starts: list[int], total: int) -> list[Position]:
        """Returns the position at which each split begins."""
        if not self.fractions:
            return []
        begin = 1 - sum(fraction for _, fraction in self.fractions)
        if begin <= 0:
            raise UserError(
                "task.data.validation_fraction and task.data.test_fraction leave no text to train on: reduce them"
            )
        wanted = []
        for _, fraction in self.fractions:
            wanted.append(begin * total)
            begin += fraction
        spans = list(pairwise([*wanted, total]))
        by_file = len(self.files) >= MIN_FILES and all(any(a <= start < b for start in starts) for a, b in spans)
        scan = _Scan(wanted, self.by_characters)
        for part in self._parts(starts):
            scan.add(*part)
        levels = (*["file"] * by_file, *["paragraph"] * (scan.paragraphs >= MIN_PARAGRAPHS), "line", "token")
        complete = [found for level in levels if len(found := scan.found[level]) == len(wanted)]
        for begins in complete:
            sizes = [b - a for a, b in pairwise([*(position.byte for position in begins), total])]
            near = all(abs(size - (b - a)) <= (b - a) / 2 for size, (a, b) in zip(sizes, spans, strict=True))
            if near or scan.longest <= LONG_LINE:
                return begins
        if not complete and scan.longest > LONG_LINE:
            split = self.fractions[len(scan.found["token"])][0]
            raise UserError(
                f"{self.files[-1]} has no line break or white space where the {split} part would begin: break its "
                "lines, or set task.data.validation_path and task.data.test_path"
            )
        return complete[-1] if complete else scan.found[levels[0]]

    def _parts(self, starts: list[int]) -> Iterator["_Part"]:
        for number, (file, byte) in enumerate(zip(self.files, starts, strict=True)):
            line_break, begins = _line_break_size(file), True
            for text, ends in read_parts(file, anywhere=self.by_characters, part_bytes=self.part_bytes):
                yield _Part(Position(number, byte), text, ends, begins)
                byte += len(text.encode()) + line_break * ends
                begins = ends


class _Part(NamedTuple):
    position: Position
    text: str
    ends: bool
    """Whether a line ends here."""
    begins: bool
    """Whether a line begins here."""


@dataclass
class _Scan:
    """Finds where splits would begin with a file, a paragraph, a line, or within a line."""

    wanted: list[float]
    """Offset of each split, at or after which it begins."""
    by_characters: bool
    found: dict[str, list[Position]] = field(
        default_factory=lambda: {level: [] for level in ("file", "paragraph", "line", "token")}
    )
    paragraphs: int = 0
    """Largest number of paragraphs in a file."""
    longest: int = 0
    """Bytes of the longest line."""
    _file: int = -1
    _in_file: int = 0
    _blank: bool = True
    _line: int = 0

    def add(self, position: Position, text: str, ends: bool, begins: bool) -> None:
        """Adds the next part of the text; see `_Part`."""
        size, filled = len(text.encode()), bool(text.strip())
        if begins:
            first = position.file != self._file
            if first:
                self._file, self._in_file, self._blank = position.file, 0, True
            paragraph = self._blank and filled
            self._in_file += paragraph
            self.paragraphs = max(self.paragraphs, self._in_file)
            for level, boundary in (("file", first), ("paragraph", first or paragraph), ("line", True)):
                if boundary:
                    self._begin(level, position)
            self._blank, self._line = True, 0
            self._begin("token", position)
        self._blank, self._line = self._blank and not filled, self._line + size
        self.longest = max(self.longest, self._line)
        self._within(position, text, size)

    def _begin(self, level: str, position: Position) -> None:
        found = self.found[level]
        if len(found) < len(self.wanted) and position.byte >= self.wanted[len(found)]:
            found.append(position)

    def _within(self, position: Position, text: str, size: int) -> None:
        """Finds where splits begin within a line: after white space, or with any character."""
        found, least = self.found["token"], 1
        while len(found) < len(self.wanted) and self.wanted[len(found)] < position.byte + size:
            wanted = max(least, int(self.wanted[len(found)]) - position.byte)
            before = text.encode()[:wanted].decode(errors="ignore")
            if self.by_characters:
                end = len(before) + (len(before.encode()) < wanted)
            else:
                space = _SPACE.search(text, len(before))
                end = len(text) if space is None else space.end()
            if end >= len(text):
                return
            offset = len(text[:end].encode())
            found.append(Position(position.file, position.byte + offset))
            least = offset + 1


def _decompressed_size(file: Path) -> int:
    if not is_packed(file):
        return file.stat().st_size
    with open_binary(file) as opened:
        return sum(len(block) for block in iter(lambda: opened.read(PART_BYTES), b""))


def _line_break_size(file: Path) -> int:
    """Returns the number of bytes of a line break, determined from the first line of a file."""
    with open_binary(file) as opened:
        return 2 if opened.readline(PART_BYTES).endswith(b"\r\n") else 1
