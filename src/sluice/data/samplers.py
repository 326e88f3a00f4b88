"""Batches of texts of like length, the same on one rank and on many."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

POOL_BATCHES = 50
"""Batches' worth of shuffled texts that are sorted by length together."""


class BucketBatchSampler(Sampler[list[int]]):
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
        self.lengths, self.batch_size, self.max_tokens = np.asarray(lengths), batch_size, max_tokens
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self.rank, self.world_size = rank, world_size
        self._seen = (0, 0)

    @property
    def sampler(self) -> "BucketBatchSampler":
        """Itself: Lightning passes the epoch on to `batch_sampler.sampler` and to nothing else."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch's order."""
        self.epoch = epoch

    def start_at(self, epoch: int, batch: int) -> None:
        """Goes to an epoch and leaves out its first batches, which were seen before; other epochs are whole."""
        self.epoch, self._seen = epoch, (epoch, batch)

    def __len__(self) -> int:
        return len(self._own_batches())

    def __iter__(self) -> Iterator[list[int]]:
        epoch, seen = self._seen
        for batch in self._own_batches()[seen if self.epoch == epoch else 0 :]:
            yield batch.tolist()

    def padding_share(self) -> float:
        """Share of padding in all batches of the epoch, over all ranks."""
        batches = self._batches()
        places = sum(len(batch) * int(self.lengths[batch].max()) for batch in batches)
        return 1 - sum(int(self.lengths[batch].sum()) for batch in batches) / places

    def _own_batches(self) -> list[NDArray[np.int64]]:
        batches = self._batches()
        if self.shuffle:
            missing = -len(batches) % self.world_size
            batches = batches + [batches[i % len(batches)] for i in range(missing)]
        return batches[self.rank :: self.world_size]

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
