"""Synthetic tasks of long-term memory: adding, copying, and echo."""

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np

from sluice.data.ragged import Sequences
from sluice.data.synthetic.base import check_at_least, check_memory, generator, sequences_in_split, split_sizes
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED

BASELINE = 1 / 6
"""Mean squared error of always predicting 1: the variance of the sum of two uniform numbers."""


class Adding:
    """The adding problem.

    Hochreiter & Schmidhuber (1997), "Long short-term memory", experiment 4, in the form of Le, Jaitly & Hinton (2015),
    arXiv 1504.00941, section 4.1: T steps of two channels, a number in [0, 1) and a mark, which is 1 at two random
    steps and 0 elsewhere. The target is the sum of the two marked numbers.
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
            seed: seed of the sequences.

        Raises:
            UserError: if there are fewer than 2 steps, or a size is below 1.
        """
        check_at_least(2, steps=steps)
        self.steps, self.seed = steps, seed
        self.sizes = split_sizes(size, val_size, test_size)
        check_memory(8 * steps, self.sizes, steps=steps)

    def sequences(self, split: str) -> Sequences:
        """Returns inputs (N, T, 2) and targets (N,), both float32."""
        random, size = generator(self.seed, split), self.sizes[split]
        rows = np.arange(size)
        first = random.integers(0, self.steps, size)
        second = (first + random.integers(1, self.steps, size)) % self.steps
        inputs = np.zeros((size, self.steps, 2), dtype=np.float32)
        inputs[..., 0] = random.random((size, self.steps), dtype=np.float32)
        inputs[rows, first, 1] = inputs[rows, second, 1] = 1
        return Sequences(inputs, inputs[rows, first, 0] + inputs[rows, second, 0])


BLANK = 0


class Copying:
    """The copying memory problem.

    Arjovsky, Shah & Bengio (2016), "Unitary evolution recurrent neural networks", section 4.1: `length` symbols, T − 1
    blanks, a mark, `length` blanks. The target is blank everywhere except after the mark, where the symbols are
    repeated in order. Blank is id 0, the symbols are 1 to `symbols`, the mark is `symbols` + 1.
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
            delay: T, steps between the last symbol and the first one to output.
            length: number of symbols to remember.
            symbols: number of different symbols.
            size: training sequences.
            val_size: validation sequences.
            test_size: test sequences.
            seed: seed of the sequences.

        Raises:
            UserError: if there are fewer than 2 different symbols, or another setting is below 1.
        """
        check_at_least(2, symbols=symbols)
        check_at_least(1, delay=delay, length=length)
        self.delay, self.length, self.symbols, self.seed = delay, length, symbols, seed
        self.sizes = split_sizes(size, val_size, test_size)
        check_memory(16 * (delay + 2 * length), self.sizes, delay=delay, length=length)

    @property
    def num_ids(self) -> int:
        """Number of ids, including blank and mark."""
        return self.symbols + 2

    @property
    def steps(self) -> int:
        """Number of steps of a sequence."""
        return self.delay + 2 * self.length

    @property
    def baseline(self) -> float:
        """Cross-entropy in nats per step of predicting blanks, then guessing the symbols."""
        return self.length * math.log(self.symbols) / self.steps

    def sequences(self, split: str) -> Sequences:
        """Returns inputs and targets, both (N, T + 2 · length) int64; splits have no symbol sequences in common.

        Raises:
            UserError: if there are too few different sequences.
        """
        rows = [np.frombuffer(row, dtype=np.int64) for row in islice(self._rows(split), self.sizes[split])]
        symbols = np.stack(rows)
        inputs = np.full((len(symbols), self.steps), BLANK, dtype=np.int64)
        targets = inputs.copy()
        inputs[:, : self.length] = targets[:, -self.length :] = symbols
        inputs[:, self.delay + self.length - 1] = self.symbols + 1
        return Sequences(inputs, targets)

    def _rows(self, split: str) -> Iterator[bytes]:
        def draw(random: np.random.Generator) -> bytes:
            return random.integers(1, self.symbols + 1, self.length).tobytes()

        return sequences_in_split(draw, self.seed, split)


class Echo:
    """Streams of random bits; the target of each step is the bit `delay` steps before, IGNORED in the first steps.

    The echo problem of the NYU course on deep learning: a stream is processed in chunks with the state carried over.
    Gradients do not cross chunks, which limits the learning of delays longer than a chunk.
    """

    def __init__(
        self,
        *,
        delay: int = 3,
        length: int = 2000,
        chunk_length: int = 20,
        streams: int = 64,
        val_streams: int = 16,
        test_streams: int = 64,
        seed: int = 0,
    ) -> None:
        """
        Args:
            delay: delay in steps; 0 for the current bit.
            length: steps of a stream.
            chunk_length: steps of a chunk.
            streams: training streams, processed in parallel.
            val_streams: validation streams.
            test_streams: test streams.
            seed: seed of the bits.

        Raises:
            UserError: if the delay is negative or as long as the stream, a chunk is longer than the stream, or another
                setting is below 1.
        """
        check_at_least(0, delay=delay)
        check_at_least(1, length=length, chunk_length=chunk_length)
        check_at_least(1, streams=streams, val_streams=val_streams, test_streams=test_streams)
        if delay >= length:
            raise UserError(f"delay={delay} must be below the length={length} of a stream: choose a smaller delay")
        if chunk_length > length:
            raise UserError(
                f"chunk_length={chunk_length} is longer than a stream of length={length}: choose a smaller chunk_length"
            )
        self.delay, self.length, self.chunk_length, self.seed = delay, length, chunk_length, seed
        self.sizes = {"train": streams, "val": val_streams, "test": test_streams}
        check_memory(16 * length, self.sizes, length=length)

    def sequences(self, split: str) -> Sequences:
        """Returns inputs and targets, both (streams, length) int64.

        Raises:
            UserError: if there are too few different streams.
        """

        def draw(random: np.random.Generator) -> bytes:
            return random.integers(0, 2, self.length, dtype=np.int8).tobytes()

        rows = islice(sequences_in_split(draw, self.seed, split), self.sizes[split])
        inputs = np.stack([np.frombuffer(row, dtype=np.int8) for row in rows]).astype(np.int64)
        targets = np.full_like(inputs, IGNORED)
        targets[:, self.delay :] = inputs[:, : self.length - self.delay]
        return Sequences(inputs, targets)
