"""Generated pairs of titles, with labels determined by brand and model number."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.data.corpus import SPLITS, TextPair
from sluice.data.synthetic.text_pairs import BRANDS, SamplePairs
from sluice.errors import UserError

SIZES = {"size": 200, "val_size": 40, "test_size": 60}
MODEL = re.compile(r"\b[A-Z]{2}-\d\d\b")


def brand_and_model(title: str) -> tuple[str, str]:
    """Brand and model number of a title."""
    (model,) = MODEL.findall(title)
    (brand,) = (brand for brand in BRANDS if re.search(rf"\b{brand}\b", title))
    return brand, model


def pairs(split: str = "train", **options: int) -> list[TextPair]:
    return list(SamplePairs(**{**SIZES, **options}).pairs(split))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_brand_and_model_determine_the_label(seed: int) -> None:
    for pair in pairs("val", seed=seed):
        first, second = brand_and_model(pair.first), brand_and_model(pair.second)
        assert (first == second) == (pair.label == 1)
        differing = [
            word for ours, theirs in zip(first, second, strict=True) if ours != theirs for word in (ours, theirs)
        ]
        assert " ".join(differing).split() == list(pair.deciding)
        assert len(differing) == 2 * (1 - pair.label)


def test_model_numbers_differ_by_at_most_one_digit() -> None:
    for pair in pairs(size=2000):
        ours, theirs = brand_and_model(pair.first)[1], brand_and_model(pair.second)[1]
        assert sum(a != b for a, b in zip(ours, theirs, strict=True)) <= 1


def test_classes_and_differences_are_equally_frequent() -> None:
    drawn = pairs(size=4000)
    counts = Counter((pair.label, brand_and_model(pair.first)[0] == brand_and_model(pair.second)[0]) for pair in drawn)
    fractions = {key: count / len(drawn) for key, count in counts.items()}
    assert fractions[1, True] == pytest.approx(0.5, abs=0.03)
    assert fractions[0, True] == pytest.approx(0.25, abs=0.03)
    assert fractions[0, False] == pytest.approx(0.25, abs=0.03)


def test_number_of_other_shared_words_is_uninformative() -> None:
    """Both classes have the same mean number of shared words besides brand and model."""
    shared: dict[int, list[int]] = {0: [], 1: []}
    for pair in pairs(size=5000):
        other = [
            set(title.split()) - set(" ".join(brand_and_model(title)).split()) for title in (pair.first, pair.second)
        ]
        shared[pair.label].append(len(other[0] & other[1]))
    assert np.mean(shared[0]) == pytest.approx(np.mean(shared[1]), abs=0.15)


def test_matching_titles_differ_in_wording() -> None:
    same = [pair for pair in pairs(size=2000) if pair.label]
    assert sum(pair.first == pair.second for pair in same) / len(same) < 0.05


def test_splits_are_sized_disjoint_and_reproducible() -> None:
    drawn = {split: pairs(split) for split in SPLITS}
    assert {split: len(own) for split, own in drawn.items()} == {"train": 200, "val": 40, "test": 60}
    titles = [{pair[:2] for pair in own} for own in drawn.values()]
    assert len(set.union(*titles)) == sum(map(len, titles))
    assert drawn["test"] == pairs("test")
    assert drawn["test"] != pairs("test", seed=1)


def test_size_below_the_minimum_is_refused() -> None:
    with pytest.raises(UserError, match="size=0"):
        SamplePairs(size=0)
