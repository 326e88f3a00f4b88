"""Held-out texts: stratified, the right fraction, the same in every run."""

import random
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice.data.identity import Hashes
from sluice.data.ragged import Ragged
from sluice.data.splits import assign_folds, assign_splits, hold_out, hold_out_texts
from sluice.errors import UserError

NAMES = ("neg", "pos", "mixed")
IMDB_BLOCKS = [
    [0, 9, 13, 24, 39, 50, 52, 54, 83, 84, 85, 105],
    [2, 24, 27, 30, 32, 33, 37, 55, 66, 90, 94, 100],
]
"""Blocks of a hundred ids held out for validation, of each class; published results depend on them."""
FRACTIONS = st.floats(0.01, 0.99)
LABELS = np.asarray([0] * 300 + [1] * 120 + [2] * 40)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=4), fraction=FRACTIONS, seed=st.integers(0, 99))
def test_fraction_of_every_class_is_held_out(sizes: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(labels)
    held = Counter(labels[hold_out(labels, fraction, tuple(map(str, range(len(sizes)))))].tolist())
    for label, size in enumerate(sizes):
        assert 1 <= held[label] <= size - 1
        assert abs(held[label] - fraction * size) <= 0.5 or held[label] in (1, size - 1)


def test_held_out_counts_match_the_fraction() -> None:
    held = hold_out(LABELS, 0.1, NAMES)
    assert held.dtype == bool
    assert Counter(LABELS[held].tolist()) == {0: 30, 1: 12, 2: 4}


def test_splits_do_not_depend_on_the_global_seed() -> None:
    first = hold_out(LABELS, 0.2, NAMES)
    np.random.seed(1)
    random.seed(1)
    assert np.array_equal(hold_out(LABELS, 0.2, NAMES), first)


def test_texts_are_drawn_from_the_whole_class() -> None:
    """A corpus may be sorted by topic or date."""
    rows = np.flatnonzero(hold_out(np.zeros(1000, dtype=np.int64), 0.1, ("only",)))
    assert np.all(np.histogram(rows, bins=4, range=(0, 1000))[0] >= 10)


def test_texts_of_a_class_and_group_stay_together() -> None:
    labels = np.repeat([0, 1], 1000)
    groups = np.tile(np.arange(1000) // 20, 2)
    held = hold_out(labels, 0.1, ("neg", "pos"), groups)
    for label in (0, 1):
        of_groups = held[labels == label].reshape(50, 20)
        assert np.array_equal(of_groups.any(1), of_groups.all(1))
        assert of_groups.all(1).sum() == 5
    assert not np.array_equal(held[:1000], held[1000:])


def test_class_in_a_single_group_is_split() -> None:
    assert hold_out(np.zeros(10, dtype=np.int64), 0.2, ("only",), np.zeros(10, dtype=np.int64)).sum() == 2


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0]])
def test_small_class_is_refused(labels: list[int]) -> None:
    with pytest.raises(UserError, match="class 'pos' has too few texts"):
        hold_out(np.asarray(labels), 0.5, ("neg", "pos"))
    with pytest.raises(UserError, match="there are too few sentence pairs to hold some out"):
        hold_out(np.asarray([0]), 0.5, ("sentence pairs",))


def texts_of(*numbers: int) -> Hashes:
    """Text hashes of numbers."""
    return np.asarray(numbers, dtype=np.uint64)


def assigned(labels: list[int], texts: Hashes) -> dict[str, set[int]]:
    """The texts of each split, all held out from the training texts."""
    rows = assign_splits(
        np.array(["train"] * len(labels)),
        labels=np.asarray(labels),
        names=("neg", "pos"),
        fractions={"test": 0.2, "val": 0.2},
        texts=texts,
    )
    return {name: set(texts[index].tolist()) for name, index in rows.items()}


@settings(deadline=None)
@given(sizes=st.lists(st.integers(2, 60), min_size=1, max_size=4), fraction=FRACTIONS)
def test_distinct_texts_are_held_out_as_by_hold_out(sizes: list[int], fraction: float) -> None:
    labels, names = np.repeat(np.arange(len(sizes)), sizes), tuple(map(str, range(len(sizes))))
    texts = np.random.default_rng(0).permutation(len(labels)).astype(np.uint64)
    assert np.array_equal(hold_out_texts(labels, fraction, names, texts), hold_out(labels, fraction, names))


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 15)), min_size=30, max_size=60))
def test_identical_texts_of_all_classes_are_in_one_split(rows: list[tuple[int, int]]) -> None:
    labels, texts = [label for label, _ in rows], texts_of(*(text for _, text in rows))
    by_class = [{text for label, text in rows if label == wanted} for wanted in (0, 1)]
    assume(min(map(len, by_class)) >= 4)
    found = assigned(labels, texts)
    assert sum(map(len, found.values())) == len(set.union(*by_class))
    assert all(found.values())
    assert all(found["train"] & texts for texts in by_class)


def test_frequent_text_stays_in_training() -> None:
    found = assigned([0] * 120 + [1] * 10, texts_of(*[0] * 100, *range(1, 21), *range(30, 40)))
    assert 0 in found["train"]


def test_small_class_is_in_every_split() -> None:
    rows = assign_splits(
        np.array(["train"] * 3),
        labels=np.zeros(3, dtype=np.int64),
        names=("only",),
        fractions={"test": 0.6, "val": 0.6},
        texts=texts_of(1, 2, 3),
    )
    assert {name: len(index) for name, index in rows.items()} == {"train": 1, "val": 1, "test": 1}


def test_few_distinct_texts_are_in_every_split() -> None:
    found = assigned([0] * 20 + [1] * 20, texts_of(*[0] * 20, *[1] * 14, *[2] * 6))
    assert all(texts & {0} and texts & {1, 2} for texts in found.values())


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), min_size=12, max_size=40),
    texts=st.lists(st.integers(0, 30), min_size=40, max_size=40),
)
def test_every_tag_stays_in_training(rows: list[list[int]], texts: list[int]) -> None:
    hashes, tags = texts_of(*texts[: len(rows)]), Ragged.from_rows(rows)
    assume(len(set(texts[: len(rows)])) > 2)
    options = {"labels": np.zeros(len(rows), dtype=np.int64), "names": ("sentences",), "texts": hashes}
    assign = partial(assign_splits, np.array(["train"] * len(rows)), fractions={"test": 0.2, "val": 0.2}, **options)
    before = assign()
    try:
        found = assign(tags=tags)
    except UserError:
        assume(False)
    assert set(tags.rows(found["train"]).flat.tolist()) == set(tags.flat.tolist())
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(rows)))
    held = [set(hashes[found[name]].tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, held)) == len(set.union(*held))
    if set(tags.rows(before["train"]).flat.tolist()) == set(tags.flat.tolist()):
        assert all(np.array_equal(before[name], found[name]) for name in before)


def test_tag_of_one_text_is_kept_and_others_are_held_out() -> None:
    options = {"labels": np.zeros(20, dtype=np.int64), "names": ("sentences",), "fractions": {"test": 0.1, "val": 0.1}}
    options["texts"] = texts_of(*range(20))
    alone = assign_splits(np.array(["train"] * 20), **options)["test"]
    tags = Ragged.from_rows([[1 if row in alone else 0] for row in range(20)])
    rows = assign_splits(np.array(["train"] * 20), **options, tags=tags)
    assert {name: len(index) for name, index in rows.items()} == {"train": 16, "val": 2, "test": 2}
    assert set(alone) & set(rows["train"])


def test_texts_that_each_have_a_unique_tag_are_not_held_out() -> None:
    options = {"labels": np.zeros(9, dtype=np.int64), "names": ("sentences",), "fractions": {"test": 0.1, "val": 0.1}}
    options |= {"texts": texts_of(*range(9)), "tags": Ragged.from_rows([[row] for row in range(9)])}
    with pytest.raises(UserError, match="too few sentences can be held out for validation and test, since the others"):
        assign_splits(np.array(["train"] * 9), **options)


def test_validation_blocks_of_imdb_are_unchanged() -> None:
    """Reviews 0_… to 12499_… of each class in the order of their names, in blocks of a hundred."""
    ids = sorted(range(12_500), key=lambda number: f"{number}_")
    block_ids: dict[int, int] = {}
    groups = np.asarray([block_ids.setdefault(number // 100, len(block_ids)) for number in ids * 2])
    labels = np.repeat([0, 1], 12_500)
    rows = assign_splits(
        np.array(["train"] * 25_000 + ["test"]),
        labels=np.append(labels, 0),
        names=("neg", "pos"),
        fractions={"test": 0.0, "val": 0.1},
        texts=np.zeros(25_001, dtype=np.uint64),
        groups=np.append(groups, 0),
    )
    held = [sorted({ids[row % 12_500] // 100 for row in rows["val"] if labels[row] == label}) for label in (0, 1)]
    assert held == IMDB_BLOCKS
    assert len(rows["val"]) == 2400


def test_rare_classes_stay_in_training(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.asarray([0] * 50 + [1] * 50 + [2])
    given_splits, texts = np.asarray(["train"] * 101), np.arange(101, dtype=np.uint64)
    fractions = {"test": 0.1, "val": 0.1}
    rows = assign_splits(given_splits, labels=labels, names=NAMES, fractions=fractions, texts=texts)
    assert 100 in rows["train"]
    assert {name: len(rows[name]) for name in ("val", "test")} == {"val": 8, "test": 10}
    assert "Classes with fewer texts than splits: 'mixed' (1)" in caplog.text


def test_folds_are_stratified_and_equal_texts_stay_together() -> None:
    labels = np.repeat([0, 1, 2], [53, 21, 7])
    texts = np.arange(81, dtype=np.uint64)
    folds = assign_folds(labels, texts, 5, ["a", "b", "c"])
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 3
    copies = np.concatenate([texts, texts[::3], texts[:20]])
    repeated = assign_folds(np.concatenate([labels, labels[::3], labels[20:40]]), copies, 5, ["a", "b", "c"])
    assert all(len(set(repeated[copies == text])) == 1 for text in texts)


def test_folds_do_not_depend_on_the_process() -> None:
    labels, texts = np.array([0, 1] * 4), np.arange(8, dtype=np.uint64)
    assert assign_folds(labels, texts, 2, ["a", "b"]).tolist() == assign_folds(labels, texts, 2, ["a", "b"]).tolist()


def test_more_folds_than_texts_are_refused() -> None:
    with pytest.raises(UserError, match=r"task\.data\.folds=3 cannot be used: there are 2 different texts"):
        assign_folds(np.array([0, 1, 1]), np.array([5, 6, 6], dtype=np.uint64), 3, ["a", "b"])
