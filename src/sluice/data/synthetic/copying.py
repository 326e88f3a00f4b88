"""Symbols to be remembered over a long silence."""

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np

from sluice.data.synthetic.draws import check_at_least, own_sequences
from sluice.data.synthetic.sequences import Sequences

BLANK = 0


class Copying:
    """The copying memory problem.

    Arjovsky, Shah & Bengio (2016), "Unitary evolution recurrent neural networks", section 4.1: `length` symbols, T − 1
    blanks, a mark, `length` blanks. The target is a blank everywhere but after the mark, where the symbols are to be
    written in their order. Blank is id 0, the symbols 1 to `symbols`, the mark `symbols` + 1.
    """

    def __init__(
        self,
        *,
        delay: int = 100,
        length: int = 10,
        symbols: int = 8,
        size: int = 20_000,
        val_size: int = 1000,
        test_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        """
        Args:
            delay: T, steps between the last symbol and the first to be written.
            length: symbols to remember.
            symbols: how many different ones there are.
            size: training sequences.
            val_size: validation sequences.
            test_size: test sequences.
            seed: another seed gives other sequences.

        Raises:
            UserError: there are fewer than 2 different symbols, or another setting is below 1.
        """
        check_at_least(2, symbols=symbols)
        check_at_least(1, delay=delay, length=length, size=size, val_size=val_size, test_size=test_size)
        self.delay, self.length, self.symbols, self.seed = delay, length, symbols, seed
        self.sizes = {"train": size, "val": val_size, "test": test_size}

    @property
    def num_ids(self) -> int:
        """How many ids there are, blank and mark counted."""
        return self.symbols + 2

    @property
    def steps(self) -> int:
        """Steps of a sequence."""
        return self.delay + 2 * self.length

    @property
    def baseline(self) -> float:
        """Cross-entropy, in nats a step, of whoever writes blanks and then guesses."""
        return self.length * math.log(self.symbols) / self.steps

    def sequences(self, split: str) -> Sequences:
        """Inputs and targets, both (N, T + 2 · length) int64; what is to be remembered is in one split only.

        Raises:
            UserError: there are too few different sequences.
        """
        rows = [np.frombuffer(row, dtype=np.int64) for row in islice(self._rows(split), self.sizes[split])]
        kept = np.stack(rows)
        inputs = np.full((len(kept), self.steps), BLANK, dtype=np.int64)
        targets = inputs.copy()
        inputs[:, : self.length] = targets[:, -self.length :] = kept
        inputs[:, self.delay + self.length - 1] = self.symbols + 1
        return Sequences(inputs, targets)

    def _rows(self, split: str) -> Iterator[bytes]:
        def draw(random: np.random.Generator) -> bytes:
            return random.integers(1, self.symbols + 1, self.length).tobytes()

        return own_sequences(draw, self.seed, split)
