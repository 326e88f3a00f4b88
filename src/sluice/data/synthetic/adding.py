"""Two numbers among many, marked, to be added."""

import numpy as np

from sluice.data.synthetic.draws import check_at_least, generator
from sluice.data.synthetic.sequences import Sequences

BASELINE = 1 / 6
"""Mean squared error of whoever always answers 1: the variance of the sum of two uniform numbers."""


class Adding:
    """The adding problem.

    Hochreiter & Schmidhuber (1997), "Long short-term memory", experiment 4, in the form of Le, Jaitly & Hinton (2015),
    arXiv 1504.00941, section 4.1: T steps of two channels, a number from [0, 1) and a mark, which is 1 at two places
    drawn at random and else 0. The target is the sum of the two marked numbers.
    """

    def __init__(
        self, *, steps: int = 100, size: int = 20_000, val_size: int = 1000, test_size: int = 10_000, seed: int = 0
    ) -> None:
        """
        Args:
            steps: T.
            size: training sequences.
            val_size: validation sequences.
            test_size: test sequences.
            seed: another seed gives other sequences.

        Raises:
            UserError: there are fewer than 2 steps, or a size is below 1.
        """
        check_at_least(2, steps=steps)
        check_at_least(1, size=size, val_size=val_size, test_size=test_size)
        self.steps, self.seed = steps, seed
        self.sizes = {"train": size, "val": val_size, "test": test_size}

    def sequences(self, split: str) -> Sequences:
        """Inputs (N, T, 2) and targets (N,), both float32."""
        random, size = generator(self.seed, split), self.sizes[split]
        rows = np.arange(size)
        first = random.integers(0, self.steps, size)
        second = (first + random.integers(1, self.steps, size)) % self.steps
        inputs = np.zeros((size, self.steps, 2), dtype=np.float32)
        inputs[..., 0] = random.random((size, self.steps), dtype=np.float32)
        inputs[rows, first, 1] = inputs[rows, second, 1] = 1
        return Sequences(inputs, inputs[rows, first, 0] + inputs[rows, second, 0])
