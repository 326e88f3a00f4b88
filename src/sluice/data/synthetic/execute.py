"""Programs to be run in one's head, easy ones first if wanted."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from sluice.data.synthetic.draws import check_at_least, own_sequences
from sluice.data.synthetic.programs import Program, write_program
from sluice.errors import UserError

CURRICULA = ("baseline", "naive", "mix", "combined")
BETWEEN = "\0"
"""Between a program and its result while the two are one text."""


class Difficulty(NamedTuple):
    """How hard a program is."""

    length: int
    """Digits of its numbers, at most."""
    nesting: int
    """Operations."""


class Execute:
    """Programs and their results, letter by letter, under one of four curricula.

    Zaremba & Sutskever (2014), "Learning to execute", arXiv 1410.4615, section 4. Validation and test always have the
    full length and nesting; training has:

    baseline  the same
    naive     stage by stage: length 1 to `length` at nesting 1, then again at nesting 2, and so on
    mix       length and nesting drawn anew for each program
    combined  each program as "naive" or as "mix" has it
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
            length: most digits of a number in a program.
            nesting: operations of a program.
            curriculum: "baseline", "naive", "mix" or "combined".
            size: training programs of one stage.
            val_size: validation programs.
            test_size: test programs.
            seed: another seed gives other programs.

        Raises:
            UserError: the curriculum doesn't exist or another setting is below 1.
        """
        if curriculum not in CURRICULA:
            raise UserError(f"there is no curriculum {curriculum!r}; there are {', '.join(CURRICULA)}")
        check_at_least(1, length=length, nesting=nesting, size=size, val_size=val_size, test_size=test_size)
        self.length, self.nesting, self.curriculum, self.seed = length, nesting, curriculum, seed
        self.sizes = {"train": size, "val": val_size, "test": test_size}

    @property
    def stages(self) -> list[Difficulty]:
        """What training goes through, from the easiest on; a single one where the curriculum has no stages."""
        if self.curriculum in ("baseline", "mix"):
            return [Difficulty(self.length, self.nesting)]
        return [
            Difficulty(length, nesting)
            for nesting in range(1, self.nesting + 1)
            for length in range(1, self.length + 1)
        ]

    def programs(self, split: str, stage: int = 0) -> Iterator[Program]:
        """Yields the programs of a split, for training those of one stage; no program is in two splits.

        Args:
            split: "train", "val" or "test".
            stage: place in `stages`, for training only; beyond the last one, the last.
        """
        at = self.stages[min(stage, len(self.stages) - 1)]

        def draw(random: np.random.Generator) -> str:
            drawn = self._difficulty(random, at) if split == "train" else Difficulty(self.length, self.nesting)
            return BETWEEN.join(write_program(random, length=drawn.length, nesting=drawn.nesting))

        for text in islice(own_sequences(draw, self.seed, split), self.sizes[split]):
            yield Program(*text.split(BETWEEN))

    def _difficulty(self, random: np.random.Generator, stage: Difficulty) -> Difficulty:
        mixes = self.curriculum == "mix" or (self.curriculum == "combined" and random.integers(2) == 1)
        if not mixes:
            return stage
        return Difficulty(int(random.integers(self.length)) + 1, int(random.integers(self.nesting)) + 1)
