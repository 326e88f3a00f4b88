"""Sequences of one length with what is to be answered."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""A target that no loss and no accuracy looks at, as torch's cross-entropy has it."""


class Sequences(NamedTuple):
    """N sequences of T steps."""

    inputs: NDArray[Any]
    """(N, T) int64 ids, or (N, T, D) float32."""
    targets: NDArray[Any]
    """(N,), (N, T) or (N, T, D): int64 classes, IGNORED where there is none, or float32 values."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) steps of each sequence: all T."""
        return np.full(len(self.inputs), self.inputs.shape[1], dtype=np.int64)
