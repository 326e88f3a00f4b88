"""The order of training and evaluation batches: the same on one rank and on many, resumable within an epoch."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

POOL_BATCHES = 50
"""Batches' worth of shuffled texts that are sorted by length together."""
HALF_SHARE, SPREAD = 0.05, 5.0
"""Of variable chunks (Merity, Keskar & Socher 2018, section 5): share of half the length; deviation in steps."""

Item = TypeVar("Item", covariant=True)


class ResumableSampler(Sampler[Item]):
    """An epoch after another; one that is resumed leaves out what was seen before."""

    def __init__(self) -> None:
        self.epoch = 0
        self._seen = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch's order."""
        self.epoch = epoch

    def start_at(self, epoch: int, seen: int) -> None:
        """Goes to an epoch and leaves out its first items, which were seen before; other epochs are whole."""
        self.epoch, self._seen = epoch, (epoch, seen)

    @property
    def first(self) -> int:
        """How many items of the current epoch were seen before."""
        epoch, seen = self._seen
        return seen if self.epoch == epoch else 0


class _BatchSampler(ResumableSampler[list[int]]):
    @property
    def sampler(self) -> "_BatchSampler":
        """Itself: Lightning passes the epoch on to `batch_sampler.sampler` and to nothing else."""
        return self


class BucketBatchSampler(_BatchSampler):
    """Cuts an epoch into batches of texts of like length.

    Training shuffles the texts, sorts pools of them by length, cuts batches and shuffles those; the order depends on
    the seed and the epoch alone. Every rank makes the whole plan and takes its share. In training every rank gets the
    same number of batches (the first ones are dealt again where they do not come out even); in evaluation every text
    is seen exactly once, by one rank.
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
            lengths: (N,) tokens of each text, truncated as in training.
            batch_size: texts in a batch; with `max_tokens` at most that many.
            max_tokens: budget for a batch, padding counted. The epoch is then sorted as a whole, so that the number
                of batches is the same in every epoch.
            shuffle: training order; otherwise longest first, so that too little memory shows at once;
                texts of one length in a fixed random order, so that a few batches hold all classes.
            seed: of the order.
            rank: this process.
            world_size: processes.

        Raises:
            ValueError: if a size is below 1 or a single text is longer than the budget.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if max_tokens is not None and max_tokens < lengths.max(initial=1):
            raise ValueError(f"max_tokens={max_tokens} is less than the longest text, {lengths.max()} tokens")
        super().__init__()
        self.lengths, self.batch_size, self.max_tokens = np.asarray(lengths), batch_size, max_tokens
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self._planned: tuple[int, list[NDArray[np.int64]]] | None = None
        """An epoch and this rank's batches of it: Lightning asks for their number many times."""

    def __len__(self) -> int:
        return len(self._own_batches())

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._own_batches()[self.first :]:
            yield batch.tolist()

    def _own_batches(self) -> list[NDArray[np.int64]]:
        epoch = self.epoch if self.shuffle else 0
        if self._planned is None or self._planned[0] != epoch:
            batches = self._batches()
            if self.shuffle:
                missing = -len(batches) % self.world_size
                batches = batches + [batches[i % len(batches)] for i in range(missing)]
            self._planned = epoch, batches[self.rank :: self.world_size]
        return self._planned[1]

    def _batches(self) -> list[NDArray[np.int64]]:
        random = np.random.default_rng([self.seed, self.epoch] if self.shuffle else 0)
        order = random.permutation(len(self.lengths))
        if not self.shuffle:
            return self._cut(order[np.argsort(-self.lengths[order], kind="stable")])
        pool = len(order) if self.max_tokens is not None else self.batch_size * POOL_BATCHES
        parts = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches = [batch for part in parts for batch in self._cut(part[np.argsort(-self.lengths[part], kind="stable")])]
        return [batches[place] for place in random.permutation(len(batches))]

    def _cut(self, index: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cuts texts sorted longest first: the first text of a batch is the one that sets its price."""
        cuts = [0]
        while cuts[-1] < len(index):
            budget = self.batch_size
            if self.max_tokens is not None:
                budget = min(budget, self.max_tokens // max(1, int(self.lengths[index[cuts[-1]]])))
            cuts.append(min(cuts[-1] + budget, len(index)))
        return [index[start:end] for start, end in pairwise(cuts)]


class StagedBatchSampler(_BatchSampler):
    """An epoch is dealt from one stage of the data alone; which one, the epoch's number says.

    The stages lie one after the other in the data. So the order depends on the seed and the epoch, as without stages.
    """

    def __init__(self, stages: Sequence[BucketBatchSampler], *, stage_of: Callable[[int], int]) -> None:
        """
        Args:
            stages: the sampler of each, with places that begin at 0; every one with as many batches.
            stage_of: from an epoch to its stage.

        Raises:
            ValueError: if the stages have not as many batches: schedules count on epochs of one length.
        """
        if len({len(stage) for stage in stages}) != 1:
            raise ValueError(f"stages must have as many batches, got {[len(stage) for stage in stages]}")
        super().__init__()
        self.stages, self.stage_of = stages, stage_of

    def start_at(self, epoch: int, seen: int) -> None:
        super().start_at(epoch, seen)
        for stage in self.stages:
            stage.start_at(epoch, seen)

    def __len__(self) -> int:
        return len(self.stages[0])

    def __iter__(self) -> Iterator[list[int]]:
        number = self.stage_of(self.epoch)
        first = sum(len(stage.lengths) for stage in self.stages[:number])
        self.stages[number].set_epoch(self.epoch)
        for batch in self.stages[number]:
            yield [first + place for place in batch]


class Chunk(NamedTuple):
    """Steps of the streams: from `start`, `steps` of them."""

    start: int
    steps: int


class ChunkSampler(ResumableSampler[Chunk]):
    """Cuts the length of the streams into pieces, in order; the same number in every epoch."""

    def __init__(self, length: int, *, chunk_length: int, variable: bool = False, seed: int = 0) -> None:
        """
        Args:
            length: steps of the streams.
            chunk_length: steps of a piece; the last one may be shorter.
            variable: lengths vary around `chunk_length`, one in twenty around half of it, other ones in every epoch.
            seed: of the lengths.
        """
        super().__init__()
        self.length, self.chunk_length = length, chunk_length
        self.variable, self.seed = variable, seed

    def __len__(self) -> int:
        return -(-self.length // self.chunk_length)

    def __iter__(self) -> Iterator[Chunk]:
        pieces = [Chunk(start, end - start) for start, end in pairwise(self._borders())]
        yield from pieces[self.first :]

    def _borders(self) -> list[int]:
        if not self.variable:
            return [*range(0, self.length, self.chunk_length), self.length]
        random = np.random.default_rng([self.seed, self.epoch])
        typical = np.where(random.random(len(self)) < HALF_SHARE, self.chunk_length / 2, self.chunk_length)
        drawn = np.maximum(random.normal(typical, min(SPREAD, self.chunk_length / 4)), 1.0)
        ends = np.round(drawn.cumsum() / drawn.sum() * self.length).astype(int)
        return [0, *sorted({*ends.tolist()} - {0})] if len({*ends.tolist()} - {0}) == len(self) else self._even()

    def _even(self) -> list[int]:
        """Borders for texts so short that pieces would vanish."""
        return np.linspace(0, self.length, len(self) + 1).round().astype(int).tolist()


class BatchIndex(NamedTuple):
    """A batch of an epoch."""

    epoch: int
    number: int


class EpochSampler(ResumableSampler[BatchIndex]):
    """The places of an epoch's batches, in order."""

    def __init__(self, size: int) -> None:
        """
        Args:
            size: batches of an epoch.
        """
        super().__init__()
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[BatchIndex]:
        for number in range(self.first, self.size):
            yield BatchIndex(self.epoch, number)


class FirstEpochSampler(EpochSampler):
    """The first epoch's batches, whichever epoch training is in."""

    def set_epoch(self, epoch: int) -> None:
        """Stays where it is."""
