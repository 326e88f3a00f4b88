"""Splits are disjoint, seeds repeat, and settings with too few sequences are refused."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.corpus import SPLITS
from sluice.data.synthetic.base import check_at_least, generator, sequences_in_split, split_of
from sluice.errors import UserError


def four_characters(random: np.random.Generator) -> str:
    return "".join("abcd"[index] for index in random.integers(0, 4, 4))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 99))
def test_text_and_its_bytes_get_the_same_split(text: str, seed: int) -> None:
    assert split_of(text, seed) == split_of(text.encode(), seed)
    assert split_of(text, seed) in SPLITS


def test_splits_have_expected_fractions() -> None:
    for seed in range(3):
        splits = [split_of(str(number), seed) for number in range(10_000)]
        fractions = [splits.count(split) / len(splits) for split in SPLITS]
        np.testing.assert_allclose(fractions, [0.6, 0.2, 0.2], atol=0.015)


def test_another_seed_gives_other_splits() -> None:
    same = sum(split_of(str(number), 0) == split_of(str(number), 1) for number in range(10_000))
    assert abs(same / 10_000 - (0.36 + 0.04 + 0.04)) < 0.02


@given(st.integers(0, 1000))
def test_splits_are_disjoint_and_seeds_repeat(seed: int) -> None:
    drawn = {split: list(islice(sequences_in_split(four_characters, seed, split), 40)) for split in SPLITS}
    assert all(split_of(text, seed) == split for split, texts in drawn.items() for text in texts)
    for split, texts in drawn.items():
        assert texts == list(islice(sequences_in_split(four_characters, seed, split), 40))


def test_random_streams_differ_between_splits_and_seeds() -> None:
    drawn = {tuple(generator(seed, split).random(3)) for seed in range(3) for split in SPLITS}
    assert len(drawn) == 9


def test_too_few_distinct_sequences_are_refused() -> None:
    other = next(split for split in SPLITS if split != split_of("always the same", 0))
    stream = sequences_in_split(lambda _: "always the same", 0, other)
    with pytest.raises(UserError, match=f"none for the {other} split: use longer sequences"):
        next(stream)


def test_invalid_split_and_seed_are_refused() -> None:
    with pytest.raises(UserError, match="unknown split 'dev': expected one of train, val, test"):
        generator(0, "dev")
    with pytest.raises(UserError, match="seed=-1 is negative"):
        generator(-1, "val")


def test_setting_below_the_minimum_is_named() -> None:
    check_at_least(2, steps=2, size=9)
    with pytest.raises(UserError, match="size=1 is too small: choose 2 or more"):
        check_at_least(2, steps=2, size=1)
