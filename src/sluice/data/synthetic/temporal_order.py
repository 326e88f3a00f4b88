"""Which of two symbols came first, far apart among others that mean nothing."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from sluice.data.corpus import Document, Sources
from sluice.data.synthetic.base import sequences_in_split, split_sizes
from sluice.errors import UserError

VERSION = 1
"""Raise it with every change to the texts: caches of the older ones are then no longer used."""
FIRST, LAST = "B", "E"
RELEVANT, DISTRACTORS = "XY", "abcd"
SYMBOLS = (FIRST, LAST, *RELEVANT, *DISTRACTORS)
CLASSES = {"XX": "Q", "XY": "R", "YX": "S", "YY": "U"}


class Level(NamedTuple):
    """Ranges of a level, both ends included; the first symbol stands at place 0."""

    lengths: tuple[int, int]
    """Symbols of a sequence, first and last counted."""
    t1: tuple[int, int]
    """Place of the first telling symbol."""
    t2: tuple[int, int]
    """Place of the second."""

    def check(self) -> None:
        """
        Raises:
            UserError: a range runs backwards, t2 may come before t1, or one falls outside a sequence.
        """
        for name, (low, high) in self._asdict().items():
            if low > high:
                raise UserError(f"{name}=[{low},{high}] runs backwards: give the smaller number first")
        if self.t1[0] < 1:
            raise UserError(f"t1=[{self.t1[0]},{self.t1[1]}] begins before 1: place 0 is the first symbol's, {FIRST}")
        if self.t2[0] <= self.t1[1]:
            raise UserError(
                f"t2={self.t2[0]} would not come after t1={self.t1[1]}: choose a t2 that begins above where t1 ends"
            )
        if self.t2[1] > self.lengths[0] - 2:
            raise UserError(
                f"t2={self.t2[1]} lies outside a sequence of {self.lengths[0]} symbols, which ends in {LAST}: "
                f"choose at most {self.lengths[0] - 2}, or longer sequences"
            )


LEVELS = {
    "easy": Level((7, 8), (1, 2), (4, 5)),
    "normal": Level((30, 40), (2, 5), (20, 27)),
    "moderate": Level((60, 80), (10, 20), (45, 54)),
    "hard": Level((100, 110), (10, 20), (50, 60)),
    "nightmare": Level((300, 500), (10, 80), (250, 290)),
}


class TemporalOrder:
    """The temporal order problem as a labelled corpus: texts are symbols set apart by blanks.

    Hochreiter & Schmidhuber (1997), "Long short-term memory", experiment 6a: a sequence begins with B and ends with
    E; at t1 and t2 stand X or Y, elsewhere any of a b c d. The class is Q for X…X, R for X…Y, S for Y…X, U for Y…Y.
    To be read by the tokenizer "whitespace". No text is in two splits; in one it may come twice, since the easy level
    has but 5,120 different ones.
    """

    name = "generated"
    labels = tuple(CLASSES.values())

    def __init__(
        self,
        *,
        level: str = "normal",
        lengths: tuple[int, int] | None = None,
        t1: tuple[int, int] | None = None,
        t2: tuple[int, int] | None = None,
        size: int = 10_000,
        val_size: int = 1000,
        test_size: int = 10_000,
        easy_fraction: float = 0.0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            level: "easy", "normal", "moderate", "hard" or "nightmare".
            lengths: symbols of a sequence, smallest and largest; None for the level's.
            t1: place of the first telling symbol, likewise.
            t2: place of the second, likewise.
            size: training sequences.
            val_size: validation sequences.
            test_size: test sequences.
            easy_fraction: fraction of the training sequences that are drawn from the easier levels, which makes long
                distances easier to learn. Validation and test stay as they are.
            seed: another seed gives other sequences.

        Raises:
            UserError: the level doesn't exist, a range is impossible (see `Level.check`), a size is below 1, the share
                of easier ones lies outside [0, 1], or there are none easier.
        """
        if level not in LEVELS:
            raise UserError(f"there is no level {level!r}; there are {', '.join(LEVELS)}")
        if not 0 <= easy_fraction <= 1:
            raise UserError(f"easy_fraction={easy_fraction} cannot be used: choose from 0 to 1")
        self._easier_levels = list(LEVELS.values())[: list(LEVELS).index(level)]
        if easy_fraction and not self._easier_levels:
            raise UserError(
                f"task.data.easy_fraction={easy_fraction} is not possible: no level is easier than {level}, set it to 0"
            )
        own = LEVELS[level]
        self.level = Level(*(tuple(given or ours) for given, ours in zip((lengths, t1, t2), own, strict=True)))  # type: ignore[arg-type]
        self.level.check()
        self.level_name = level if self.level == own else f"{level}, altered"
        self.sizes = split_sizes(size, val_size, test_size)
        self.easy_fraction, self.seed = easy_fraction, seed

    @property
    def sources(self) -> Sources:
        """The generator and its settings."""
        ranges = ", ".join(f"{low}-{high}" for low, high in self.level)
        sizes = ", ".join(map(str, self.sizes.values()))
        recipe = f"temporal order v{VERSION}, ranges {ranges}, sizes {sizes}, easier {self.easy_fraction}"
        return Sources(recipe, seed=self.seed)

    @property
    def description(self) -> str:
        """How the texts came about, in words."""
        low, high = self.level.lengths
        return f"temporal order ({self.level_name}), {low} to {high} symbols, generated by sluice with seed {self.seed}"

    def documents(self) -> Iterator[Document]:
        """Yields every sequence, split by split."""
        for split, size in self.sizes.items():
            draw = self._draw_mixed if split == "train" and self.easy_fraction else self._draw
            for symbols in islice(sequences_in_split(draw, self.seed, split), size):
                yield Document(split, " ".join(symbols), self.labels.index(class_of(symbols)))

    def _draw_mixed(self, random: np.random.Generator) -> str:
        if random.random() >= self.easy_fraction:
            return _drawn(random, self.level)
        return _drawn(random, self._easier_levels[random.integers(len(self._easier_levels))])

    def _draw(self, random: np.random.Generator) -> str:
        return _drawn(random, self.level)


def _drawn(random: np.random.Generator, level: Level) -> str:
    length, first, second = (int(random.integers(low, high, endpoint=True)) for low, high in level)
    symbols = np.frombuffer(DISTRACTORS.encode(), dtype=np.uint8)[random.integers(0, len(DISTRACTORS), length)]
    symbols[[0, -1]] = ord(FIRST), ord(LAST)
    symbols[[first, second]] = np.frombuffer(RELEVANT.encode(), dtype=np.uint8)[random.integers(0, 2, 2)]
    return symbols.tobytes().decode()


def class_of(symbols: str) -> str:
    """Q, R, S or U, from the order of the X and Y in a sequence."""
    return CLASSES["".join(symbol for symbol in symbols if symbol in RELEVANT)]
