"""Which texts are held out."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.data.corpus import SPLITS
from sluice.data.identity import Hashes
from sluice.errors import UserError

SPLIT_SEED = 20110610
"""The split is part of the corpus, not of the run: it is the same whatever the run's seed."""
UNDECIDED, KEPT, HELD = -1, 0, 1


class HoldOutSettings:
    """Settings with the fractions of the texts that are held out where a corpus has no such split of its own."""

    validation_fraction: float
    test_fraction: float

    @property
    def fractions(self) -> dict[str, float]:
        """By the name of the split; what `assign_splits` takes."""
        return {"test": self.test_fraction, "val": self.validation_fraction}


def assign_splits(
    given: NDArray[np.str_],
    *,
    labels: NDArray[np.int64],
    names: Sequence[str],
    fractions: Mapping[str, float],
    texts: Hashes | None,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """The rows of each split; "test" and "val", in this order, are cut from "train" where the corpus has none.

    Args:
        given: (N,) the split that the corpus gives each row.
        labels: (N,) class ids.
        names: class names, for the error.
        fractions: of each class, by the name of the split that may have to be cut.
        texts: (N,) a hash of each text: equal ones land in one split, except in classes with fewer different texts
            than splits. None as in earlier versions, for rows drawn one by one.
        groups: (N,) group ids instead: those of one class and group are held out together.

    Raises:
        UserError: if the corpus has no training texts, or a class too few of them.
    """
    rows = {split: np.flatnonzero(given == split) for split in dict.fromkeys(given.tolist())}
    if "train" not in rows:
        raise UserError("the corpus has no training texts")
    missing = [name for name in fractions if name not in rows]
    if texts is not None:
        texts = _apart_where_too_few(texts, labels, rows["train"], 1 + len(missing))
    for later, name in zip(reversed(range(len(missing))), missing, strict=True):
        train = rows["train"]
        if groups is None and texts is not None:
            held = hold_out_texts(labels[train], fractions[name], names, texts[train], leave=1 + later)
        else:
            held = hold_out(labels[train], fractions[name], names, None if groups is None else groups[train])
        rows[name], rows["train"] = train[held], train[~held]
    return rows


def same_rows(rows: Mapping[str, NDArray[np.int64]], earlier: Callable[[], Mapping[str, NDArray[np.int64]]]) -> bool:
    """Whether an assignment is the one of earlier versions, which may have found a class too small to split."""
    try:
        other = earlier()
    except UserError:
        return False
    return all(np.array_equal(rows[name], other[name]) for name in SPLITS)


def _apart_where_too_few(
    texts: Hashes, labels: NDArray[np.int64], train: NDArray[np.int64], splits: int
) -> NDArray[np.uint64]:
    """The hashes, with a number of its own for each copy of a text in a class with fewer different ones than splits.

    Every split then has a text of such a class, and the copies of one text are in several splits.
    """
    texts = texts.copy()
    for label in np.unique(labels[train]):
        members = train[labels[train] == label]
        if len(np.unique(texts[members])) < splits:
            texts[members] = members
    return texts


def hold_out(
    labels: NDArray[np.int64], fraction: float, names: Sequence[str], groups: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """(N,) True for the held-out texts: `fraction` of every class, at least one of each, drawn once and for all.

    Args:
        labels: (N,) class ids.
        fraction: of each class, in (0, 1).
        names: class names, for the error.
        groups: (N,) group ids; those of one class and group are held out together. None for texts drawn one by one.

    Raises:
        UserError: if a class has fewer than two texts, so that none could be held out and one kept.
    """
    random = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(labels), dtype=bool)
    for label, name in enumerate(names):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise _too_few(name)
        own = members if groups is None else groups[members]
        units, sizes = np.unique(own, return_counts=True)
        if len(units) < 2:
            own = units = members
            sizes = np.ones(len(members), dtype=np.int64)
        order = random.permutation(len(units))
        count = min(int(np.abs(sizes[order].cumsum() - fraction * len(members)).argmin()) + 1, len(units) - 1)
        held[members[np.isin(own, units[order[:count]])]] = True
    return held


def hold_out_texts(
    labels: NDArray[np.int64], fraction: float, names: Sequence[str], texts: Hashes, *, leave: int = 1
) -> NDArray[np.bool_]:
    """(N,) True for the held-out texts: about `fraction` of every class; equal texts of all classes land on one side.

    Without equal texts it holds out what `hold_out` does. Every class keeps a text; it also loses one unless all that
    it has are texts of other classes, which keep them.

    Args:
        labels: (N,) class ids.
        fraction: of each class, in (0, 1).
        names: class names, for the error.
        texts: (N,) a hash of each text.
        leave: different texts that each class keeps, if it has more.

    Raises:
        UserError: if a class has fewer than two different texts.
    """
    random = np.random.default_rng(SPLIT_SEED)
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    ids = np.argsort(np.argsort(first))[inverse]  # distinct texts, numbered as they come
    classes = []
    for label, name in enumerate(names):
        units, sizes = np.unique(ids[labels == label], return_counts=True)
        if len(units) < 2:
            raise _too_few(name)
        order = random.permutation(len(units))
        classes.append((units[order], sizes[order]))
    state = np.full(len(first), UNDECIDED)
    for units, sizes in sorted(classes, key=lambda one: len(one[0])):  # small classes have the least choice
        held = _chosen(state[units], sizes, fraction, min(leave, len(units) - 1))
        state[units[held]] = HELD
        state[units[state[units] == UNDECIDED]] = KEPT
    for units, _ in classes:
        if not (state[units] == KEPT).any():
            state[units[0]] = KEPT
    return state[ids] == HELD


def _chosen(state: NDArray[np.int64], sizes: NDArray[np.int64], fraction: float, leave: int) -> list[int]:
    """Which of a class's undecided texts are held out: in the order drawn, each that brings it nearer to the fraction.

    Args:
        state: of the class's distinct texts, in the order drawn.
        sizes: how often the class has each.
        fraction: of the class's texts, in (0, 1).
        leave: distinct texts that are kept.
    """
    free = np.flatnonzero(state == UNDECIDED)
    goal, total = fraction * sizes.sum(), int(sizes[state == HELD].sum())
    room = len(free) - max(0, leave - int((state == KEPT).sum()))
    held: list[int] = []
    for index in free:
        if len(held) >= room or goal - total <= 0.5:
            break
        if abs(total + sizes[index] - goal) < abs(total - goal):
            held.append(int(index))
            total += int(sizes[index])
    if not total and room > 0:
        held = [int(free[sizes[free].argmin()])]
    return held


def _too_few(name: str) -> UserError:
    return UserError(
        f"class {name!r} has too few texts to hold any out for validation or test: give it more, or give files "
        "of their own for validation and test"
    )
