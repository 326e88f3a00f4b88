"""Temporal order problem: the order of two distant symbols among distractors."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from sluice.data.corpus import Document, Sources
from sluice.data.synthetic.base import sequences_in_split, split_sizes
from sluice.errors import UserError

VERSION = 1
"""Version of the generated texts. Increment it with every change to them, to invalidate caches."""
FIRST, LAST = "B", "E"
RELEVANT, DISTRACTORS = "XY", "abcd"
SYMBOLS = (FIRST, LAST, *RELEVANT, *DISTRACTORS)
CLASSES = {"XX": "Q", "XY": "R", "YX": "S", "YY": "U"}


class Level(NamedTuple):
    """Ranges of a level, both ends included; positions are counted from 0."""

    lengths: tuple[int, int]
    """Number of symbols of a sequence, including the first and the last."""
    t1: tuple[int, int]
    """Position of the first relevant symbol."""
    t2: tuple[int, int]
    """Position of the second relevant symbol."""

    def check(self) -> None:
        """Checks the ranges.

        Raises:
            UserError: if a range is reversed, t2 may not be after t1, or a position is outside a sequence.
        """
        for name, (low, high) in self._asdict().items():
            if low > high:
                raise UserError(f"{name}=[{low},{high}] is reversed: put the smaller number first")
        if self.t1[0] < 1:
            raise UserError(
                f"t1=[{self.t1[0]},{self.t1[1]}] must begin at 1 or more: position 0 is the first symbol, {FIRST}"
            )
        if self.t2[0] <= self.t1[1]:
            raise UserError(
                f"t2={self.t2[0]} is not after t1={self.t1[1]}: choose a range of t2 that begins above the end of t1"
            )
        if self.t2[1] > self.lengths[0] - 2:
            raise UserError(
                f"t2={self.t2[1]} is outside a sequence of {self.lengths[0]} symbols, which ends in {LAST}: "
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
    """The temporal order problem as a labelled corpus of symbols separated by spaces.

    Hochreiter & Schmidhuber (1997), "Long short-term memory", experiment 6a: a sequence begins with B and ends with E,
    has X or Y at t1 and t2, and any of a b c d elsewhere. The class is Q for X…X, R for X…Y, S for Y…X, U for Y…Y. Use
    the tokenizer "whitespace". Texts may repeat within a split (the easy level has only 5,120 different ones), but not
    across splits.
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
            lengths: minimum and maximum number of symbols; None for those of the level.
            t1: minimum and maximum position of the first relevant symbol; None for those of the level.
            t2: the same of the second relevant symbol.
            size: training sequences.
            val_size: validation sequences.
            test_size: test sequences.
            easy_fraction: fraction of the training sequences drawn from easier levels, which makes long distances
                easier to learn. Validation and test are unaffected.
            seed: seed of the sequences.

        Raises:
            UserError: if the level is unknown, a range is invalid (see `Level.check`), a size is below 1,
                `easy_fraction` is outside [0, 1], or there is no easier level.
        """
        if level not in LEVELS:
            raise UserError(f"unknown level {level!r}: expected one of {', '.join(LEVELS)}")
        if not 0 <= easy_fraction <= 1:
            raise UserError(f"easy_fraction={easy_fraction} cannot be used: it must be between 0 and 1")
        self._easier_levels = list(LEVELS.values())[: list(LEVELS).index(level)]
        if easy_fraction and not self._easier_levels:
            raise UserError(f"easy_fraction={easy_fraction} cannot be used: no level is easier than {level}")
        defaults = LEVELS[level]
        ranges = zip((lengths, t1, t2), defaults, strict=True)
        self.level = Level(*(tuple(given or default) for given, default in ranges))  # type: ignore[arg-type]
        self.level.check()
        self.level_name = level if self.level == defaults else f"{level}, altered"
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
        """Description of the generator."""
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
    """Returns the class Q, R, S or U for the order of X and Y in a sequence."""
    return CLASSES["".join(symbol for symbol in symbols if symbol in RELEVANT)]
