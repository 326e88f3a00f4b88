"""Assignment of texts to training, validation and test splits."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.data.corpus import SPLITS, Document
from sluice.data.identity import Hashes, text_hash
from sluice.data.ragged import Ragged
from sluice.errors import UserError

log = logging.getLogger(__name__)

SPLIT_SEED = 20110610
"""Splits belong to the corpus: they do not depend on the seed of the run."""
UNDECIDED, KEPT, HELD = -1, 0, 1


class HoldOutSettings:
    """Mixin for settings with the fractions to hold out from corpora without validation or test splits."""

    validation_fraction: float
    test_fraction: float

    @property
    def fractions(self) -> dict[str, float]:
        """Fraction of each split, for `assign_splits`."""
        return {"test": self.test_fraction, "val": self.validation_fraction}


class GroupIds:
    """Maps the groups of documents to ids; a document without a group gets a unique id."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}
        self._sizes: Counter[str] = Counter()
        self.named = False
        """True once any document has a group."""

    def id_of(self, document: Document) -> int:
        """Returns the id of a document's group, in the order of first appearance in its split."""
        self.named |= bool(document.group)
        name = document.group or f"#{self._sizes[document.split]}"
        self._sizes[document.split] += 1
        return self._ids.setdefault((document.split, name), len(self._ids))


def assign_documents(
    documents: Iterable[Document], *, names: Sequence[str], fractions: Mapping[str, float], legacy: bool = False
) -> dict[str, NDArray[np.int64]]:
    """`assign_splits` of documents, whose texts are not kept.

    Args:
        documents: all documents of a corpus.
        names: class names.
        fractions: as in `assign_splits`.
        legacy: assign them as earlier versions did, which drew identical texts independently.

    Raises:
        UserError: as `assign_splits`.
    """
    groups = GroupIds()
    given, labels, hashes, ids = list[str](), list[int](), list[int](), list[int]()
    for document in documents:
        given.append(document.split)
        labels.append(document.label)
        hashes.append(text_hash(document.text))
        ids.append(groups.id_of(document))
    return assign_splits(
        np.asarray(given),
        labels=np.asarray(labels, dtype=np.int64),
        names=names,
        fractions=fractions,
        texts=None if legacy else np.asarray(hashes, dtype=np.uint64),
        groups=np.asarray(ids, dtype=np.int64) if legacy or groups.named else None,
    )


def assign_splits(
    given: NDArray[np.str_],
    *,
    labels: NDArray[np.int64],
    names: Sequence[str],
    fractions: Mapping[str, float],
    texts: Hashes | None,
    groups: NDArray[np.int64] | None = None,
    tags: Ragged | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Assigns rows to splits; missing "test" and "val" splits, in this order, are held out from "train".

    Args:
        given: (N,) split of each row according to the corpus.
        labels: (N,) class ids.
        names: class names, for the error message; the name of the rows ("sentences") if they have no classes.
        fractions: fraction of each class to hold out, by the name of the split.
        texts: (N,) text hashes: equal texts are assigned to one split, except in classes with fewer distinct texts than
            splits. None to draw rows independently, as in earlier versions.
        groups: (N,) group ids, used instead of `texts`: rows of one class and group are assigned to one split.
        tags: N rows of tag ids: every tag of the training rows stays in a training row. Ignored with `groups`.

    Returns:
        The rows of each split.

    Raises:
        UserError: if the corpus has no training texts, or too few of every class, or nothing can be held out since each
            row has a tag that no other has.
    """
    rows = {split: np.flatnonzero(given == split) for split in dict.fromkeys(given.tolist())}
    if "train" not in rows:
        raise UserError("the corpus has no training texts")
    missing = [name for name in fractions if name not in rows]
    if texts is not None and missing:
        texts = _separate_copies(texts, labels, names, rows["train"], 1 + len(missing))
    for remaining, name in zip(reversed(range(len(missing))), missing, strict=True):
        train = rows["train"]
        if groups is None and texts is not None:
            own = None if tags is None else tags.rows(train)
            held = hold_out_texts(labels[train], fractions[name], names, texts[train], min_left=1 + remaining, tags=own)
            _check_any_held(held, names[0])
        else:
            held = hold_out(labels[train], fractions[name], names, None if groups is None else groups[train])
        rows[name], rows["train"] = train[held], train[~held]
    return rows


def _warn_of_rare(labels: NDArray[np.int64], names: Sequence[str], splits: int) -> None:
    """Warns of classes with fewer texts than splits."""
    counts = np.bincount(labels, minlength=len(names))
    rare = [f"{name!r} ({count})" for name, count in zip(names, counts.tolist(), strict=True) if count < splits]
    if 0 < len(rare) < len(names):
        log.warning(
            "Classes with fewer texts than splits: %s. They are in training, but not in every other split; add texts, "
            "or provide separate validation and test files.",
            ", ".join(rare),
        )


def same_rows(rows: Mapping[str, NDArray[np.int64]], earlier: Callable[[], Mapping[str, NDArray[np.int64]]]) -> bool:
    """Returns whether an assignment equals that of earlier versions, which may raise for small classes."""
    try:
        other = earlier()
    except UserError:
        return False
    return all(np.array_equal(rows[name], other[name]) for name in SPLITS)


def _separate_copies(
    texts: Hashes, labels: NDArray[np.int64], names: Sequence[str], train: NDArray[np.int64], splits: int
) -> NDArray[np.uint64]:
    """Gives copies of a text unique hashes in classes with fewer distinct texts than splits.

    Copies of one text can then be assigned to several splits, so that every split gets a text of the class. Warns of
    classes with fewer texts than splits.
    """
    _warn_of_rare(labels[train], names, splits)
    texts = texts.copy()
    for label in np.unique(labels[train]):
        members = train[labels[train] == label]
        if len(np.unique(texts[members])) < splits:
            texts[members] = members
    return texts


def assign_folds(labels: NDArray[np.int64], texts: Hashes, folds: int, names: Sequence[str]) -> NDArray[np.int64]:
    """Divides rows into folds for cross-validation, of nearly equal size in every class.

    Equal texts are in one fold, also across classes. The assignment does not depend on the seed of the run.

    Args:
        labels: (N,) class ids.
        texts: (N,) text hashes.
        folds: number of folds, at least 2.
        names: class names, for messages.

    Returns:
        (N,) fold of each row.

    Raises:
        UserError: if there are fewer distinct texts than folds.
    """
    random = np.random.default_rng(SPLIT_SEED)
    _, ids = np.unique(texts, return_inverse=True)
    if (distinct := int(ids.max(initial=-1)) + 1) < folds:
        raise UserError(
            f"task.data.folds={folds} cannot be used: there are {distinct} different texts, choose fewer folds"
        )
    fold_of, sizes = np.full(distinct, UNDECIDED), np.zeros(folds, dtype=np.int64)
    members = [np.unique(ids[labels == label], return_counts=True) for label in range(len(names))]
    for number in np.argsort([len(units) for units, _ in members], kind="stable"):  # small classes first
        units, copies = members[number]
        if 0 < len(units) < folds:
            log.warning("The class %r has %d texts, fewer than folds: some folds have none.", names[number], len(units))
        in_class = np.bincount(fold_of[units[fold_of[units] != UNDECIDED]], minlength=folds)
        for index in random.permutation(len(units)):
            if fold_of[units[index]] == UNDECIDED:
                fold = int(np.lexsort((sizes, in_class))[0])
                fold_of[units[index]] = fold
                in_class[fold] += copies[index]
                sizes[fold] += copies[index]
    return fold_of[ids]


def hold_out(
    labels: NDArray[np.int64], fraction: float, names: Sequence[str], groups: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Selects texts to hold out: `fraction` of every class, at least one text of each.

    Args:
        labels: (N,) class ids.
        fraction: fraction of each class, in (0, 1).
        names: class names, for the error message.
        groups: (N,) group ids; texts of one class and group are held out together. None to draw texts independently.

    Returns:
        (N,) True for held-out texts.

    Raises:
        UserError: if a class has fewer than two texts.
    """
    random = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(labels), dtype=bool)
    for label, name in enumerate(names):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise _too_few(name, names)
        unit_of = members if groups is None else groups[members]
        units, sizes = np.unique(unit_of, return_counts=True)
        if len(units) < 2:
            unit_of = units = members
            sizes = np.ones(len(members), dtype=np.int64)
        order = random.permutation(len(units))
        count = min(int(np.abs(sizes[order].cumsum() - fraction * len(members)).argmin()) + 1, len(units) - 1)
        held[members[np.isin(unit_of, units[order[:count]])]] = True
    return held


def hold_out_texts(
    labels: NDArray[np.int64],
    fraction: float,
    names: Sequence[str],
    texts: Hashes,
    *,
    min_left: int = 1,
    tags: Ragged | None = None,
) -> NDArray[np.bool_]:
    """Selects texts to hold out: about `fraction` of every class; equal texts are held out together, across classes.

    Equivalent to `hold_out` if all texts are distinct. Every class and every tag keeps at least one text, and at least
    one text of a class is held out unless it has only one, or other classes or tags keep all of them.

    Args:
        labels: (N,) class ids.
        fraction: fraction of each class, in (0, 1).
        names: class names, for the error message.
        texts: (N,) text hashes.
        min_left: minimum number of distinct texts that each class keeps, if it has more.
        tags: N rows of tag ids; None for texts without tags.

    Returns:
        (N,) True for held-out texts.

    Raises:
        UserError: if every class has fewer than two distinct texts.
    """
    random = np.random.default_rng(SPLIT_SEED)
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    ids = np.argsort(np.argsort(first))[inverse]  # distinct texts, numbered by first appearance
    members = [np.unique(ids[labels == label], return_counts=True) for label in range(len(names))]
    orders = [(one, random.permutation(len(one[0]))) for one in members if len(one[0]) > 1]
    classes = [(units[order], sizes[order]) for (units, sizes), order in orders]
    if not classes:
        raise _too_few(names[0], names)
    state = _assign_states(np.full(len(first), UNDECIDED), classes, fraction, min_left)
    if tags is not None:
        tag_texts, required = _TagTexts(np.repeat(ids, tags.lengths), tags.flat), np.zeros(len(first), dtype=bool)
        while len(missing := tag_texts.missing(state == KEPT)):
            required[missing] = True
            state = _assign_states(np.where(required, KEPT, UNDECIDED), classes, fraction, min_left + required.sum())
    return np.asarray(state[ids] == HELD)


class _TagTexts:
    """The distinct texts of each tag."""

    def __init__(self, texts: NDArray[np.int64], tags: NDArray[np.int32]) -> None:
        """
        Args:
            texts: (M,) number of the distinct text of each occurrence of a tag.
            tags: (M,) tag ids.
        """
        occurrences = np.unique(tags.astype(np.int64) * (texts.max() + 1) + texts)
        self.tags, self.texts = np.divmod(occurrences, texts.max() + 1)

    def missing(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Returns the first text of each tag of which no text is kept; `kept` is (U,), one for each distinct text."""
        lost = np.flatnonzero(~np.isin(self.tags, self.tags[kept[self.texts]]))
        _, first = np.unique(self.tags[lost], return_index=True)
        return np.unique(self.texts[lost[first]])


def _assign_states(
    state: NDArray[np.int64],
    classes: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    fraction: float,
    min_left: int,
) -> NDArray[np.int64]:
    """Decides which distinct texts are held out; returns their states.

    Args:
        state: (U,) UNDECIDED, or KEPT for texts that must be kept.
        classes: the texts of each class in random order, and the number of their copies in it.
        fraction: fraction of each class, in (0, 1).
        min_left: minimum number of distinct texts that each class keeps, if it has more.
    """
    for units, sizes in sorted(classes, key=lambda one: len(one[0])):  # small classes first
        held = _select_held_out(state[units], sizes, fraction, min(min_left, len(units) - 1))
        state[units[held]] = HELD
        state[units[state[units] == UNDECIDED]] = KEPT
    for units, _ in classes:
        if not (state[units] == KEPT).any():
            state[units[0]] = KEPT
    return state


def _select_held_out(state: NDArray[np.int64], sizes: NDArray[np.int64], fraction: float, min_left: int) -> list[int]:
    """Selects undecided texts of a class to hold out: in random order, each that reduces the distance to the fraction.

    Args:
        state: state of the class's distinct texts, in random order.
        sizes: number of copies of each in the class.
        fraction: fraction of the class's texts, in (0, 1).
        min_left: minimum number of distinct texts to keep.
    """
    free = np.flatnonzero(state == UNDECIDED)
    goal, total = fraction * sizes.sum(), int(sizes[state == HELD].sum())
    room = len(free) - max(0, min_left - int((state == KEPT).sum()))
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


def _check_any_held(held: NDArray[np.bool_], name: str) -> None:
    if not held.any():
        raise UserError(
            f"too few {name} can be held out for validation and test, since the others have a tag that no other has: "
            "add some, or provide separate validation and test files"
        )


def _too_few(name: str, names: Sequence[str]) -> UserError:
    found = f"class {name!r} has too few texts" if len(names) > 1 else f"there are too few {name}"
    return UserError(
        f"{found} to hold some out for validation and test: add some, or provide separate validation and test files"
    )
