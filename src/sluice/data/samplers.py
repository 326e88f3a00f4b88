"""Samplers of batches and chunks: distributed, deterministic, and resumable within an epoch."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

EVALUATION_TOKENS = 2**16
POOL_BATCHES = 50
"""Size of a pool of shuffled texts that are sorted by length, in batches."""
HALF_LENGTH_PROBABILITY, LENGTH_STD = 0.05, 5.0
"""Variable chunk lengths (Merity, Keskar & Socher 2018, section 4.1): probability of half the length, and std."""

Item = TypeVar("Item", covariant=True)


class ResumableSampler(Sampler[Item]):
    """A sampler whose order depends on the epoch, and that can start in the middle of one."""

    def __init__(self) -> None:
        self.epoch = 0
        self._start = (0, 0)
        self._repeats = False

    def repeat_first_epoch(self) -> None:
        """Gives every epoch the order of the first one."""
        self._repeats = True

    @property
    def order_epoch(self) -> int:
        """The epoch that determines the order."""
        return 0 if self._repeats else self.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which determines the order; called by Lightning."""
        self.epoch = epoch

    def start_at(self, epoch: int, item: int) -> None:
        """Sets the epoch and skips its first `item` items; other epochs are complete."""
        self.epoch, self._start = epoch, (epoch, item)

    @property
    def num_skipped(self) -> int:
        """Number of items skipped in the current epoch."""
        epoch, item = self._start
        return item if self.epoch == epoch else 0


def evaluation_tokens(
    keys: NDArray[np.int64], batch_size: int, *, max_tokens: int | None = None, scale: int = 1
) -> int:
    """Returns the maximum size of an evaluation batch: EVALUATION_TOKENS, or more if a training batch may have more.

    The size of a training batch is estimated by the tokens of the longest items, without padding, so that a single long
    item does not permit a batch of many items padded to its length.

    Args:
        keys: (N,) length of each item.
        batch_size: items per training batch.
        max_tokens: maximum size of a training batch, in units of the keys; None for no limit.
        scale: units of the keys per token.
    """
    training = int(np.sort(keys)[-batch_size:].sum())
    training = training if max_tokens is None else min(training, max_tokens)
    return max(EVALUATION_TOKENS * scale, int(keys.max(initial=1)), training)


class _BatchSampler(ResumableSampler[list[int]]):
    @property
    def sampler(self) -> "_BatchSampler":
        """Itself, since Lightning calls `set_epoch` on `batch_sampler.sampler` only."""
        return self


class BucketBatchSampler(_BatchSampler):
    """Batches of texts of similar length, split among the ranks.

    In training, texts are shuffled, sorted by length within pools, cut into batches, and the batches shuffled; the
    order depends on the seed and the epoch only. Every rank gets the same number of batches, repeating the first ones
    if necessary. In evaluation, every text is yielded exactly once, by one rank.

    Example:
        >>> sampler = BucketBatchSampler(np.array([5, 2, 4, 3]), batch_size=2)
        >>> list(sampler)  # indices of the texts, longest first
        [[0, 2], [3, 1]]
        >>> sampler = BucketBatchSampler(np.array([5, 2, 4, 3]), batch_size=4, max_tokens=8)
        >>> list(sampler)
        [[0], [2, 3], [1]]
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        batch_size: int,
        max_tokens: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """
        Args:
            lengths: (N,) number of tokens of each text after truncation.
            batch_size: texts per batch, or the maximum if `max_tokens` is given.
            max_tokens: maximum number of tokens of a batch, including padding. The whole epoch is then one pool, so
                that the number of batches is the same in every epoch.
            shuffle: training order. Otherwise longest first, so that running out of memory is noticed immediately;
                texts of equal length in a fixed random order, so that batches mix the classes.
            seed: seed of the order.
            rank: rank of this process.
            world_size: number of processes.

        Raises:
            ValueError: if `batch_size` is below 1 or a single text exceeds `max_tokens`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if max_tokens is not None and max_tokens < lengths.max(initial=1):
            raise ValueError(f"max_tokens={max_tokens} is less than the longest text ({lengths.max()} tokens)")
        super().__init__()
        self.lengths, self.batch_size, self.max_tokens = np.asarray(lengths), batch_size, max_tokens
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self._planned: tuple[int, list[NDArray[np.int64]]] | None = None
        """Epoch and this rank's batches of it, cached because Lightning calls `len` many times."""

    def __len__(self) -> int:
        return len(self._rank_batches())

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._rank_batches()[self.num_skipped :]:
            yield batch.tolist()

    def _rank_batches(self) -> list[NDArray[np.int64]]:
        epoch = self.order_epoch if self.shuffle else 0
        if self._planned is None or self._planned[0] != epoch:
            batches = self._batches()
            if self.shuffle:
                missing = -len(batches) % self.world_size
                batches = batches + [batches[i % len(batches)] for i in range(missing)]
            self._planned = epoch, batches[self.rank :: self.world_size]
        return self._planned[1]

    def _batches(self) -> list[NDArray[np.int64]]:
        random = np.random.default_rng([self.seed, self.order_epoch] if self.shuffle else 0)
        order = random.permutation(len(self.lengths))
        if not self.shuffle:
            return self._cut(order[np.argsort(-self.lengths[order], kind="stable")])
        pool = len(order) if self.max_tokens is not None else self.batch_size * POOL_BATCHES
        parts = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches = [batch for part in parts for batch in self._cut(part[np.argsort(-self.lengths[part], kind="stable")])]
        return [batches[i] for i in random.permutation(len(batches))]

    def _cut(self, index: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cuts texts, sorted longest first, into batches: the first text of a batch determines its padded length."""
        cuts = [0]
        while cuts[-1] < len(index):
            size = self.batch_size
            if self.max_tokens is not None:
                size = min(size, self.max_tokens // max(1, int(self.lengths[index[cuts[-1]]])))
            cuts.append(min(cuts[-1] + size, len(index)))
        return [index[start:end] for start, end in pairwise(cuts)]


class StagedBatchSampler(_BatchSampler):
    """Batches from one stage (contiguous part) of the data per epoch, for curriculum learning."""

    def __init__(self, stages: Sequence[BucketBatchSampler], *, stage_of: Callable[[int], int]) -> None:
        """
        Args:
            stages: sampler of each stage, with indices that start at 0; all with the same number of batches.
            stage_of: maps an epoch to the index of its stage.

        Raises:
            ValueError: if the numbers of batches differ: learning rate schedules require epochs of equal length.
        """
        if len({len(stage) for stage in stages}) != 1:
            raise ValueError(f"stages must have equal numbers of batches, got {[len(stage) for stage in stages]}")
        super().__init__()
        self.stages, self.stage_of = stages, stage_of

    def repeat_first_epoch(self) -> None:
        super().repeat_first_epoch()
        for stage in self.stages:
            stage.repeat_first_epoch()

    def start_at(self, epoch: int, item: int) -> None:
        super().start_at(epoch, item)
        for stage in self.stages:
            stage.start_at(epoch, item)

    def __len__(self) -> int:
        return len(self.stages[0])

    def __iter__(self) -> Iterator[list[int]]:
        number = self.stage_of(self.order_epoch)
        first = sum(len(stage.lengths) for stage in self.stages[:number])
        self.stages[number].set_epoch(self.epoch)
        for batch in self.stages[number]:
            yield [first + index for index in batch]


class Chunk(NamedTuple):
    """A chunk of the streams: `steps` steps from `start`."""

    start: int
    steps: int


class ChunkSampler(ResumableSampler[Chunk]):
    """Consecutive chunks of streams; the number of chunks is the same in every epoch.

    Example:
        >>> list(ChunkSampler(10, chunk_length=4))
        [Chunk(start=0, steps=4), Chunk(start=4, steps=4), Chunk(start=8, steps=2)]
    """

    def __init__(self, length: int, *, chunk_length: int, variable: bool = False, seed: int = 0) -> None:
        """
        Args:
            length: number of steps of the streams.
            chunk_length: steps per chunk; the last chunk may be shorter.
            variable: draw random lengths around `chunk_length` in each epoch (with probability 0.05 around half of it).
            seed: seed of the lengths.
        """
        super().__init__()
        self.length, self.chunk_length = length, chunk_length
        self.variable, self.seed = variable, seed

    def __len__(self) -> int:
        return -(-self.length // self.chunk_length)

    def __iter__(self) -> Iterator[Chunk]:
        chunks = [Chunk(start, end - start) for start, end in pairwise(self._boundaries())]
        yield from chunks[self.num_skipped :]

    def _boundaries(self) -> list[int]:
        if not self.variable:
            return [*range(0, self.length, self.chunk_length), self.length]
        random = np.random.default_rng([self.seed, self.order_epoch])
        mean = np.where(random.random(len(self)) < HALF_LENGTH_PROBABILITY, self.chunk_length / 2, self.chunk_length)
        drawn = np.maximum(random.normal(mean, min(LENGTH_STD, self.chunk_length / 4)), 1.0)
        ends = np.round(drawn.cumsum() / drawn.sum() * self.length).astype(int)
        return [0, *sorted({*ends.tolist()} - {0})] if len({*ends.tolist()} - {0}) == len(self) else self._even()

    def _even(self) -> list[int]:
        """Evenly spaced boundaries, for texts so short that rounding would leave chunks empty."""
        return np.linspace(0, self.length, len(self) + 1).round().astype(int).tolist()


class BatchIndex(NamedTuple):
    """Index of a batch within an epoch."""

    epoch: int
    batch: int


class EpochSampler(ResumableSampler[BatchIndex]):
    """Indices of the batches of an epoch, in order."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: number of batches per epoch.
        """
        super().__init__()
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[BatchIndex]:
        for batch in range(self.num_skipped, self.size):
            yield BatchIndex(self.order_epoch, batch)


class FirstEpochSampler(EpochSampler):
    """Indices of the batches of the first epoch, in every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Does nothing."""
