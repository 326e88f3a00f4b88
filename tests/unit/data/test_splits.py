"""The held-out texts: stratified, the right share, the same in every run."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.splits import hold_out
from sluice.errors import UserError

NAMES = ("neg", "pos", "mixed")
LABELS = np.asarray([0] * 300 + [1] * 120 + [2] * 40)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=4), share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_share_of_every_class(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(labels)
    held = Counter(labels[hold_out(labels, share, tuple(map(str, range(len(sizes)))))].tolist())
    for label, size in enumerate(sizes):
        assert 1 <= held[label] <= size - 1
        assert abs(held[label] - share * size) <= 0.5 or held[label] in (1, size - 1)


def test_exact_shares() -> None:
    held = hold_out(LABELS, 0.1, NAMES)
    assert held.dtype == bool
    assert Counter(LABELS[held].tolist()) == {0: 30, 1: 12, 2: 4}


def test_the_same_whatever_the_seed_of_the_run() -> None:
    first = hold_out(LABELS, 0.2, NAMES)
    np.random.seed(1)
    random.seed(1)
    assert np.array_equal(hold_out(LABELS, 0.2, NAMES), first)


def test_drawn_from_everywhere_in_a_class() -> None:
    """A corpus sorted by topic or date must not lose one end of it."""
    places = np.flatnonzero(hold_out(np.zeros(1000, dtype=np.int64), 0.1, ("only",)))
    assert np.all(np.histogram(places, bins=4, range=(0, 1000))[0] >= 10)


def test_texts_of_one_class_and_group_stay_together() -> None:
    labels = np.repeat([0, 1], 1000)
    groups = np.tile(np.arange(1000) // 20, 2)
    held = hold_out(labels, 0.1, ("neg", "pos"), groups)
    for label in (0, 1):
        of_groups = held[labels == label].reshape(50, 20)
        assert np.array_equal(of_groups.any(1), of_groups.all(1))
        assert of_groups.all(1).sum() == 5
    assert not np.array_equal(held[:1000], held[1000:])


def test_a_class_in_a_single_group_is_split_all_the_same() -> None:
    assert hold_out(np.zeros(10, dtype=np.int64), 0.2, ("only",), np.zeros(10, dtype=np.int64)).sum() == 2


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0]])
def test_a_class_too_small_to_split(labels: list[int]) -> None:
    with pytest.raises(UserError, match="class 'pos' has too few texts"):
        hold_out(np.asarray(labels), 0.5, ("neg", "pos"))
