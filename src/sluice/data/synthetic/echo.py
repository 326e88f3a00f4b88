"""A stream of bits, to be said again a little later."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from sluice.data.synthetic.draws import check_at_least, own_sequences
from sluice.data.synthetic.sequences import IGNORED, Sequences
from sluice.errors import UserError


class Echo:
    """Streams of random bits; the target at each step is the bit `delay` steps ago, IGNORED at the first `delay`.

    The echo problem of the NYU course on deep learning: a stream is read in chunks with the state carried over, so
    that a delay longer than a chunk can be learned only as far as gradients of other chunks help.
    """

    def __init__(
        self,
        *,
        delay: int = 3,
        length: int = 2000,
        chunk: int = 20,
        streams: int = 64,
        val_streams: int = 16,
        test_streams: int = 64,
        seed: int = 0,
    ) -> None:
        """
        Args:
            delay: steps; 0 says the bit itself.
            length: steps of a stream.
            chunk: steps of a chunk.
            streams: training streams, read side by side.
            val_streams: validation streams.
            test_streams: test streams.
            seed: another seed gives other streams.

        Raises:
            UserError: the delay is negative or as long as the stream, a chunk is longer than the stream, or another
                setting is below 1.
        """
        check_at_least(0, delay=delay)
        check_at_least(1, length=length, chunk=chunk)
        check_at_least(1, streams=streams, val_streams=val_streams, test_streams=test_streams)
        if delay >= length:
            raise UserError(f"delay={delay} is longer than a stream of length={length}: choose a shorter one")
        if chunk > length:
            raise UserError(f"chunk={chunk} is longer than a stream of length={length}: choose a shorter one")
        self.delay, self.length, self.chunk, self.seed = delay, length, chunk, seed
        self.sizes = {"train": streams, "val": val_streams, "test": test_streams}

    def sequences(self, split: str) -> Sequences:
        """Inputs and targets, both (streams, length) int64.

        Raises:
            UserError: there are too few different streams.
        """

        def draw(random: np.random.Generator) -> bytes:
            return random.integers(0, 2, self.length, dtype=np.int8).tobytes()

        rows = islice(own_sequences(draw, self.seed, split), self.sizes[split])
        inputs = np.stack([np.frombuffer(row, dtype=np.int8) for row in rows]).astype(np.int64)
        targets = np.full_like(inputs, IGNORED)
        targets[:, self.delay :] = inputs[:, : self.length - self.delay]
        return Sequences(inputs, targets)


def chunks(sequences: Sequences, size: int) -> Iterator[Sequences]:
    """Yields the streams `size` steps at a time, in their order; the last piece may be shorter."""
    for start in range(0, sequences.inputs.shape[1], size):
        yield Sequences(*(part[:, start : start + size] for part in sequences))
