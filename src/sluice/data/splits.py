"""Which texts are held out."""

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError

SPLIT_SEED = 20110610
"""The split is part of the corpus, not of the run: it is the same whatever the run's seed."""


def hold_out(
    labels: NDArray[np.int64], share: float, names: tuple[str, ...], groups: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """(N,) True for the held-out texts: `share` of every class, at least one of each, drawn once and for all.

    Args:
        labels: (N,) class ids.
        share: of each class, in (0, 1).
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
            raise UserError(
                f"class {name!r} has too few texts to hold any out for validation or test: give it more, or give files "
                "of their own for validation and test"
            )
        own = members if groups is None else groups[members]
        units, sizes = np.unique(own, return_counts=True)
        if len(units) < 2:
            own = units = members
            sizes = np.ones(len(members), dtype=np.int64)
        order = random.permutation(len(units))
        count = min(int(np.abs(sizes[order].cumsum() - share * len(members)).argmin()) + 1, len(units) - 1)
        held[members[np.isin(own, units[order[:count]])]] = True
    return held
