"""Short programs in a small part of Python, written at random together with what they print."""

from typing import NamedTuple

import numpy as np

VARIABLES = "abcdefghijklmnopqrstuvwyz"
LOOP_VARIABLE = "x"
SMALL = 4
"""Factors and loops go up to SMALL · length: what takes one pass to work out stays within reach (section 3)."""
SYMBOLS = "".join(sorted(set("0123456789+-*<>=():,\n " + VARIABLES + LOOP_VARIABLE)))
"""Every letter that a program or its result may have."""


class Program(NamedTuple):
    """A program and what Python says when it runs it."""

    code: str
    """Lines, the last one a print; without a line break at the end."""
    result: str
    """The integer printed, in decimal digits, with a minus in front if it is negative."""


def write_program(random: np.random.Generator, *, length: int, nesting: int) -> Program:
    """Writes a program of `nesting` operations on numbers of at most `length` digits.

    Zaremba & Sutskever (2014), "Learning to execute", arXiv 1410.4615, section 3: additions, subtractions,
    multiplications by small numbers, assignments, conditional expressions and loops that are not nested; each
    operation goes on from the result of the one before, and the last result is printed.
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
    """The lines so far and the expression to go on from."""

    def __init__(self, random: np.random.Generator, length: int) -> None:
        self.random, self.length = random, length
        self.lines: list[str] = []
        self.last: _Expression | None = None
        self.names = [VARIABLES[place] for place in random.permutation(len(VARIABLES))]

    def below(self, end: int) -> int:
        return int(self.random.integers(end))

    def number(self) -> _Expression:
        value = 1 + self.below(10**self.length - 1)
        return _Expression(str(value), value)

    def small(self) -> _Expression:
        value = 1 + self.below(SMALL * self.length)
        return _Expression(str(value), value)

    def take(self) -> _Expression:
        """What the last operation left, else a number."""
        last, self.last = self.last, None
        return last or self.number()

    def shuffled(self, first: _Expression, second: _Expression) -> tuple[_Expression, _Expression]:
        return (second, first) if self.below(2) else (first, second)

    def new_name(self) -> str:
        """A variable not used before; they start anew where the alphabet ends, which programs so long can bear."""
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
