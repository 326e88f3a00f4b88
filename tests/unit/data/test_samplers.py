"""BucketBatchSampler: order, padding, ranks and resuming, in training and evaluation."""

from collections import Counter
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric.utilities.data import _set_sampler_epoch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.samplers import POOL_BATCHES, BucketBatchSampler, StagedBatchSampler

Batches = list[list[int]]

WORLD_SIZES = st.sampled_from([1, 3])
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=40).map(lambda lengths: np.asarray(lengths))
LIMITS = st.fixed_dictionaries({"batch_size": st.integers(1, 8), "max_tokens": st.none() | st.integers(30, 90)})


def batches_by_rank(lengths: NDArray[np.int64], world_size: int, *, epoch: int = 0, **options: object) -> list[Batches]:
    """Every rank's batches of one epoch."""
    ranks = []
    for rank in range(world_size):
        sampler = BucketBatchSampler(lengths, rank=rank, world_size=world_size, **options)
        sampler.set_epoch(epoch)
        ranks.append(list(sampler))
        assert len(sampler) == len(ranks[-1])
    return ranks


def review_lengths(count: int) -> NDArray[np.int64]:
    """Lengths distributed like those of film reviews, truncated at 400."""
    drawn = np.random.default_rng(0).lognormal(mean=5.2, sigma=0.6, size=count)
    return drawn.clip(10, 400).astype(np.int64)


def padding(lengths: NDArray[np.int64], batches: Batches) -> float:
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths[i] for batch in batches for i in batch) / padded


@settings(deadline=None)
@given(lengths=LENGTHS, world_size=WORLD_SIZES, limits=LIMITS, epoch=st.integers(0, 5))
def test_training_gives_ranks_equal_numbers_of_batches(
    lengths: NDArray[np.int64], world_size: int, limits: dict[str, int], epoch: int
) -> None:
    ranks = batches_by_rank(lengths, world_size, epoch=epoch, shuffle=True, **limits)
    assert len({len(batches) for batches in ranks}) == 1
    times = Counter(tuple(batch) for batch in chain(*ranks))
    assert sorted(chain(*times)) == list(range(len(lengths)))
    assert times.total() - len(times) <= world_size - 1


@settings(deadline=None)
@given(lengths=LENGTHS, world_size=WORLD_SIZES, limits=LIMITS)
def test_evaluation_yields_every_text_once(lengths: NDArray[np.int64], world_size: int, limits: dict[str, int]) -> None:
    ranks = batches_by_rank(lengths, world_size, **limits)
    assert sorted(chain(*chain(*ranks))) == list(range(len(lengths)))
    counts = [len(batches) for batches in ranks]
    assert max(counts) - min(counts) <= 1


@settings(deadline=None)
@given(lengths=LENGTHS, limits=LIMITS, shuffle=st.booleans(), epoch=st.integers(0, 5))
def test_batches_respect_the_limits(
    lengths: NDArray[np.int64], limits: dict[str, int], shuffle: bool, epoch: int
) -> None:
    [batches] = batches_by_rank(lengths, 1, epoch=epoch, shuffle=shuffle, **limits)
    for batch in batches:
        assert 1 <= len(batch) <= limits["batch_size"]
        assert limits["max_tokens"] is None or len(batch) * lengths[batch].max() <= limits["max_tokens"]


@settings(deadline=None, max_examples=30)
@given(lengths=LENGTHS, world_size=WORLD_SIZES, limits=LIMITS)
def test_epochs_have_equal_lengths(lengths: NDArray[np.int64], world_size: int, limits: dict[str, int]) -> None:
    sampler = BucketBatchSampler(lengths, world_size=world_size, shuffle=True, **limits)
    counts = set()
    for epoch in range(5):
        sampler.set_epoch(epoch)
        counts.add(len(list(sampler)))
    assert counts == {len(sampler)}


@pytest.mark.parametrize("limits", [{"batch_size": 16}, {"batch_size": 16, "max_tokens": 2000}])
def test_epochs_of_several_pools_have_equal_lengths(limits: dict[str, int]) -> None:
    lengths = review_lengths(3 * 16 * POOL_BATCHES + 5)
    assert len({len(batches_by_rank(lengths, 1, epoch=epoch, shuffle=True, **limits)[0]) for epoch in range(5)}) == 1


@pytest.mark.parametrize("count", [4 * POOL_BATCHES - 1, 4 * POOL_BATCHES + 1, 10 * POOL_BATCHES + 2])
def test_only_the_last_pool_may_have_a_small_batch(count: int) -> None:
    [batches] = batches_by_rank(review_lengths(count), 1, batch_size=4, shuffle=True)
    sizes = Counter(map(len, batches))
    assert sizes.pop(4) == count // 4
    assert sizes == {count % 4: 1}


def test_max_tokens_fills_batches() -> None:
    """Batches of short texts have more texts."""
    [batches] = batches_by_rank(np.asarray([100] * 4 + [10] * 40), 1, batch_size=64, max_tokens=200)
    assert sorted(map(len, batches)) == [2, 2, 20, 20]


def test_evaluation_order_is_fixed_and_longest_first() -> None:
    lengths = review_lengths(100)
    [first], [later] = (batches_by_rank(lengths, 1, epoch=epoch, batch_size=8) for epoch in (0, 3))
    assert first == later
    seen = lengths[list(chain(*first))]
    assert np.all(np.diff(seen) <= 0)


class TestOrder:
    lengths = review_lengths(500)

    def batches(self, *, seed: int = 0, epoch: int = 0, max_tokens: int | None = None) -> Batches:
        options = {"batch_size": 8, "max_tokens": max_tokens, "shuffle": True, "seed": seed}
        return batches_by_rank(self.lengths, 1, epoch=epoch, **options)[0]

    @pytest.mark.parametrize("max_tokens", [None, 2000])
    def test_order_depends_on_seed_and_epoch_only(self, max_tokens: int | None) -> None:
        batches = self.batches(seed=3, epoch=2, max_tokens=max_tokens)
        np.random.seed(0)
        assert self.batches(seed=3, epoch=2, max_tokens=max_tokens) == batches
        assert self.batches(seed=3, epoch=1, max_tokens=max_tokens) != batches
        assert self.batches(seed=4, epoch=2, max_tokens=max_tokens) != batches
        assert self.batches(seed=2, epoch=3, max_tokens=max_tokens) != batches

    def test_epochs_have_different_batches(self) -> None:
        first, second = ({frozenset(batch) for batch in self.batches(epoch=epoch)} for epoch in (0, 1))
        assert len(first & second) < len(first) / 10

    def test_batches_are_shuffled_by_length(self) -> None:
        means = [self.lengths[batch].mean() for batch in self.batches()]
        assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3

    def test_iterating_again_repeats_the_epoch(self) -> None:
        sampler = BucketBatchSampler(self.lengths, batch_size=8, shuffle=True)
        assert list(sampler) == list(sampler)

    @pytest.mark.parametrize("world_size", [1, 3])
    def test_lightning_sets_the_epoch(self, world_size: int) -> None:
        options = {"batch_size": 8, "shuffle": True, "seed": 5}
        sampler = BucketBatchSampler(self.lengths, rank=world_size - 1, world_size=world_size, **options)
        loader = DataLoader(range(500), batch_sampler=sampler, collate_fn=list)
        for epoch in (0, 1, 7):
            _set_sampler_epoch(loader, epoch)
            assert list(loader) == batches_by_rank(self.lengths, world_size, epoch=epoch, **options)[-1]


class TestResuming:
    lengths = review_lengths(100)
    options: ClassVar[dict[str, Any]] = {"batch_size": 8, "shuffle": True, "seed": 5}

    @pytest.mark.parametrize("world_size", [1, 3])
    @pytest.mark.parametrize("batch", [0, 1, 3, 4])
    def test_processed_batches_are_skipped(self, world_size: int, batch: int) -> None:
        for rank, whole in enumerate(batches_by_rank(self.lengths, world_size, epoch=2, **self.options)):
            sampler = BucketBatchSampler(self.lengths, rank=rank, world_size=world_size, **self.options)
            sampler.start_at(2, batch)
            assert list(sampler) == whole[batch:]

    def test_finished_epoch_is_empty(self) -> None:
        sampler = BucketBatchSampler(self.lengths, **self.options)
        sampler.start_at(0, len(sampler))
        assert list(sampler) == []

    def test_other_epochs_are_complete(self) -> None:
        sampler = BucketBatchSampler(self.lengths, **self.options)
        sampler.start_at(2, 5)
        for epoch in (1, 3):
            sampler.set_epoch(epoch)
            assert [list(sampler)] == batches_by_rank(self.lengths, 1, epoch=epoch, **self.options)

    def test_length_includes_skipped_batches(self) -> None:
        sampler = BucketBatchSampler(self.lengths, **self.options)
        whole = len(sampler)
        sampler.start_at(0, 5)
        assert len(sampler) == whole


class TestPadding:
    lengths = review_lengths(6400)

    @pytest.mark.parametrize("limits", [{"batch_size": 32}, {"batch_size": 200, "max_tokens": 8000}])
    def test_less_padding_than_without_buckets(self, limits: dict[str, int]) -> None:
        order = np.random.default_rng(1).permutation(len(self.lengths))
        unsorted = padding(self.lengths, order.reshape(-1, 32).tolist())
        [batches] = batches_by_rank(self.lengths, 1, shuffle=True, **limits)
        assert padding(self.lengths, batches) < 0.1 * unsorted

    def test_padding_does_not_depend_on_the_number_of_ranks(self) -> None:
        options = {"batch_size": 32, "shuffle": True}
        [batches], ranks = batches_by_rank(self.lengths, 1, **options), batches_by_rank(self.lengths, 2, **options)
        together = [batch for rank_batches in ranks for batch in rank_batches]
        assert padding(self.lengths, together) == pytest.approx(padding(self.lengths, batches))


class CountingSampler(BucketBatchSampler):
    """Records the epochs that it plans."""

    def __init__(self, *, shuffle: bool) -> None:
        super().__init__(review_lengths(640), batch_size=32, shuffle=shuffle)
        self.planned: list[int] = []

    def _batches(self) -> list[NDArray[np.int64]]:
        self.planned.append(self.epoch)
        return super()._batches()


class TestPlan:
    """Lightning calls `len` many times before the first step."""

    @pytest.mark.parametrize(("shuffle", "planned"), [(True, [0, 1, 2]), (False, [0])])
    def test_epoch_is_planned_once(self, shuffle: bool, planned: list[int]) -> None:
        sampler = CountingSampler(shuffle=shuffle)
        for epoch in (0, 1, 2):
            sampler.set_epoch(epoch)
            assert {len(sampler) for _ in range(8)} == {20}
            assert len(list(sampler)) == 20
        assert sampler.planned == planned

    def test_resuming_plans_the_resumed_epoch(self) -> None:
        whole, sampler = list(CountingSampler(shuffle=True)), CountingSampler(shuffle=True)
        sampler.start_at(0, 3)
        assert list(sampler) == whole[3:]
        sampler.set_epoch(1)
        assert len(list(sampler)) == 20
        assert sampler.planned == [0, 1]


class TestErrors:
    @pytest.mark.parametrize("batch_size", [0, -1])
    def test_batch_size_below_one_is_refused(self, batch_size: int) -> None:
        with pytest.raises(ValueError, match=f"at least 1, got {batch_size}"):
            BucketBatchSampler(np.asarray([3, 4]), batch_size=batch_size)

    def test_max_tokens_below_the_longest_text_is_refused(self) -> None:
        lengths = np.asarray([3, 9, 4])
        with pytest.raises(ValueError, match=r"max_tokens=8 .*\(9 tokens\)"):
            BucketBatchSampler(lengths, batch_size=2, max_tokens=8)
        assert len(BucketBatchSampler(lengths, batch_size=2, max_tokens=9)) == 2


def test_first_epoch_is_repeated_on_request() -> None:
    lengths = np.arange(1, 41)
    sampler, usual = (BucketBatchSampler(lengths, batch_size=4, shuffle=True) for _ in range(2))
    sampler.repeat_first_epoch()
    first = list(sampler)
    for each in (sampler, usual):
        each.set_epoch(3)
    assert list(sampler) == first != list(usual)


def test_stages_repeat_the_first_epoch_on_request() -> None:
    stages = [BucketBatchSampler(np.arange(1, 9), batch_size=4, shuffle=True, seed=seed) for seed in range(2)]
    sampler = StagedBatchSampler(stages, stage_of=lambda epoch: min(epoch, 1))
    sampler.repeat_first_epoch()
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) == first
