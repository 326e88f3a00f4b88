"""Truncation of long texts."""

import numpy as np
from numpy.typing import NDArray

from sluice.options import TRUNCATIONS


def kept_head_length(truncation: str, max_length: int) -> int:
    """Returns the number of tokens kept from the beginning of a truncated text; the others are kept from its end.

    Raises:
        ValueError: for an unknown truncation.
    """
    if truncation not in TRUNCATIONS:
        raise ValueError(f"unknown truncation {truncation!r}: expected one of {', '.join(TRUNCATIONS)}")
    return {"head": max_length, "tail": 0, "head_tail": max_length // 2}[truncation]


def kept_positions(
    lengths: NDArray[np.int64], max_length: int, truncation: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the positions of the tokens kept when a batch of texts is truncated.

    Args:
        lengths: (B,) lengths of the texts.
        max_length: maximum number of tokens of a text.
        truncation: "head", "tail" or "head_tail" (half from each end).

    Returns:
        Positions (B, T), 0 for padding, and lengths after truncation (B,); T is the longest of these.
    """
    kept = np.minimum(lengths, max_length)
    steps = np.arange(kept.max(initial=1))
    skipped = np.where(steps >= kept_head_length(truncation, max_length), (lengths - kept)[:, None], 0)
    return np.where(steps < kept[:, None], steps + skipped, 0), kept
