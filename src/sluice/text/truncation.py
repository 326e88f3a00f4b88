"""Which part of a long text is kept."""

import numpy as np
from numpy.typing import NDArray

from sluice.options import TRUNCATIONS


def kept_head_length(truncation: str, max_length: int) -> int:
    """How many of the kept tokens come from the beginning of a text that is too long; the rest come from its end.

    Raises:
        ValueError: for a truncation that doesn't exist.
    """
    if truncation not in TRUNCATIONS:
        raise ValueError(f"there is no truncation {truncation!r}; there are {', '.join(TRUNCATIONS)}")
    return {"head": max_length, "tail": 0, "head_tail": max_length // 2}[truncation]


def kept_positions(
    lengths: NDArray[np.int64], max_length: int, truncation: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the tokens kept of a batch of texts.

    Args:
        lengths: (B,) tokens of each text.
        max_length: most tokens kept of a text.
        truncation: "head", "tail" or "head_tail" (half from either end).

    Returns:
        Places (B, T), 0 in the padding, and kept lengths (B,); T is the longest kept length.
    """
    kept = np.minimum(lengths, max_length)
    steps = np.arange(kept.max(initial=1))
    skipped = np.where(steps >= kept_head_length(truncation, max_length), (lengths - kept)[:, None], 0)
    return np.where(steps < kept[:, None], steps + skipped, 0), kept
