"""Small Python programs and their output (learning to execute)."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from sluice.data.corpus import Sources
from sluice.data.synthetic.base import GeneratedPairs, check_at_least, sequences_in_split, split_sizes
from sluice.errors import UserError

VARIABLES = "abcdefghijklmnopqrstuvwyz"
LOOP_VARIABLE = "x"
MAX_LENGTH = 18
"""Digits of the largest numbers, which are drawn as 64-bit integers."""
MAX_FACTOR = 4
"""Factors and loop counts are at most MAX_FACTOR · length, so that programs run in linear time (section 3)."""
SYMBOLS = "".join(sorted(set("0123456789+-*<>=():,\n " + VARIABLES + LOOP_VARIABLE)))
"""All characters of programs and results."""


class Program(NamedTuple):
    """A program and its output."""

    code: str
    """Lines of code, the last one a print; without a final line break."""
    result: str
    """The printed integer."""


def write_program(random: np.random.Generator, *, length: int, nesting: int) -> Program:
    """Writes a program of `nesting` operations on numbers of at most `length` digits.

    Zaremba & Sutskever (2014), "Learning to execute", arXiv 1410.4615, section 3: additions, subtractions,
    multiplications by small numbers, assignments, conditional expressions and loops that are not nested. Each operation
    uses the result of the previous one, and the last result is printed.

    Args:
        random: random generator.
        length: maximum number of digits of a number.
        nesting: number of operations.
    """
    writer = _Writer(random, length)
    for _ in range(nesting):
        OPERATIONS[int(random.integers(len(OPERATIONS)))](writer)
    last = writer.take()
    return Program("\n".join([*writer.lines, f"print({last.code})"]), str(last.value))


class _Expression(NamedTuple):
    code: str
    value: int


class _Writer:
    """The lines written so far and the expression of the last operation."""

    def __init__(self, random: np.random.Generator, length: int) -> None:
        self.random, self.length = random, length
        self.lines: list[str] = []
        self.last: _Expression | None = None
        self.names = [VARIABLES[index] for index in random.permutation(len(VARIABLES))]

    def below(self, end: int) -> int:
        return int(self.random.integers(end))

    def number(self) -> _Expression:
        value = 1 + self.below(10**self.length - 1)
        return _Expression(str(value), value)

    def small(self) -> _Expression:
        value = 1 + self.below(MAX_FACTOR * self.length)
        return _Expression(str(value), value)

    def take(self) -> _Expression:
        """Returns the expression of the last operation, or a number."""
        last, self.last = self.last, None
        return last or self.number()

    def shuffled(self, first: _Expression, second: _Expression) -> tuple[_Expression, _Expression]:
        return (second, first) if self.below(2) else (first, second)

    def new_name(self) -> str:
        """Returns an unused variable; names are reused when all have been used."""
        name = self.names.pop(0)
        self.names.append(name)
        return name


def _add(writer: _Writer) -> None:
    left, right = writer.shuffled(writer.take(), writer.number())
    writer.last = _Expression(f"({left.code}+{right.code})", left.value + right.value)


def _subtract(writer: _Writer) -> None:
    left, right = writer.shuffled(writer.take(), writer.number())
    writer.last = _Expression(f"({left.code}-{right.code})", left.value - right.value)


def _multiply(writer: _Writer) -> None:
    left, right = writer.shuffled(writer.take(), writer.small())
    writer.last = _Expression(f"({left.code}*{right.code})", left.value * right.value)


def _choose(writer: _Writer) -> None:
    chosen, other = writer.shuffled(writer.take(), writer.number())
    left, right, sign = writer.number(), writer.number(), "<>"[writer.below(2)]
    holds = left.value < right.value if sign == "<" else left.value > right.value
    code = f"({chosen.code} if {left.code}{sign}{right.code} else {other.code})"
    writer.last = _Expression(code, chosen.value if holds else other.value)


def _assign(writer: _Writer) -> None:
    assigned, name = writer.take(), writer.new_name()
    writer.lines.append(f"{name}={assigned.code}")
    writer.last = _Expression(name, assigned.value)


def _loop(writer: _Writer) -> None:
    start, name, times, added = writer.take(), writer.new_name(), writer.small(), writer.number()
    sign = "+-"[writer.below(2)]
    writer.lines += [
        f"{name}={start.code}",
        f"for {LOOP_VARIABLE} in range({times.code}):",
        f"  {name}{sign}={added.code}",
    ]
    change = times.value * added.value
    writer.last = _Expression(name, start.value + (change if sign == "+" else -change))


OPERATIONS = (_add, _subtract, _multiply, _choose, _assign, _loop)
CURRICULA = ("baseline", "naive", "mix", "combined")
SEPARATOR = "\0"
"""Separates a program from its result in a drawn text."""


class Difficulty(NamedTuple):
    """Difficulty of a program."""

    length: int
    """Maximum number of digits of a number."""
    nesting: int
    """Number of operations."""


class Execute:
    """Programs and their results as character sequences, with one of four curricula.

    Zaremba & Sutskever (2014), "Learning to execute", arXiv 1410.4615, section 4. Validation and test always have the
    full length and nesting; training depends on the curriculum:

    baseline  full length and nesting
    naive     in stages: length 1 to `length` at nesting 1, then at nesting 2, and so on
    mix       random length and nesting for each program
    combined  each program randomly as in "naive" or "mix"
    """

    def __init__(
        self,
        *,
        length: int = 3,
        nesting: int = 1,
        curriculum: str = "combined",
        size: int = 100_000,
        val_size: int = 2000,
        test_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        """
        Args:
            length: maximum number of digits of a number in a program.
            nesting: number of operations of a program.
            curriculum: "baseline", "naive", "mix" or "combined".
            size: training programs of one stage.
            val_size: validation programs.
            test_size: test programs.
            seed: seed of the programs.

        Raises:
            UserError: if the curriculum is unknown or another setting is below 1.
        """
        if curriculum not in CURRICULA:
            raise UserError(f"unknown curriculum {curriculum!r}: expected one of {', '.join(CURRICULA)}")
        check_at_least(1, length=length, nesting=nesting)
        if length > MAX_LENGTH:
            raise UserError(f"length={length} is too large: choose at most {MAX_LENGTH} digits")
        self.length, self.nesting, self.curriculum, self.seed = length, nesting, curriculum, seed
        self.sizes = split_sizes(size, val_size, test_size)

    @property
    def stages(self) -> list[Difficulty]:
        """Stages of the training in order of difficulty; a single one for a curriculum without stages."""
        if self.curriculum in ("baseline", "mix"):
            return [Difficulty(self.length, self.nesting)]
        return [
            Difficulty(length, nesting)
            for nesting in range(1, self.nesting + 1)
            for length in range(1, self.length + 1)
        ]

    def programs(self, split: str, stage: int = 0) -> Iterator[Program]:
        """Yields the programs of a split, in training those of one stage; splits have no programs in common.

        Args:
            split: "train", "val" or "test".
            stage: index into `stages`, for training only; larger values select the last stage.
        """
        difficulty = self.stages[min(stage, len(self.stages) - 1)]

        def draw(random: np.random.Generator) -> str:
            drawn = self._difficulty(random, difficulty) if split == "train" else Difficulty(self.length, self.nesting)
            return SEPARATOR.join(write_program(random, length=drawn.length, nesting=drawn.nesting))

        for text in islice(sequences_in_split(draw, self.seed, split), self.sizes[split]):
            yield Program(*text.split(SEPARATOR))

    def _difficulty(self, random: np.random.Generator, stage: Difficulty) -> Difficulty:
        mixes = self.curriculum == "mix" or (self.curriculum == "combined" and random.integers(2) == 1)
        if not mixes:
            return stage
        return Difficulty(int(random.integers(self.length)) + 1, int(random.integers(self.nesting)) + 1)


VERSION = 1
"""Version of the generated texts. Increment it with every change to them, to invalidate caches."""


def programs_as_pairs(execute: Execute) -> GeneratedPairs:
    """Returns programs and their results as pairs; the training stages follow one another."""
    sizes = ", ".join(map(str, execute.sizes.values()))
    settings = f"length {execute.length}, nesting {execute.nesting}, curriculum {execute.curriculum}, sizes {sizes}"
    return GeneratedPairs(
        sources=Sources(f"programs v{VERSION}, {settings}", seed=execute.seed),
        description=f"programs of length {execute.length}, nesting {execute.nesting}, curriculum {execute.curriculum}, "
        f"generated by sluice with seed {execute.seed}",
        write=lambda split: chain.from_iterable(
            execute.programs(split, stage) for stage in range(len(execute.stages) if split == "train" else 1)
        ),
    )
