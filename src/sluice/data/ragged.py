"""Many sequences of different lengths in one flat array."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ragged:
    """Sequence i is flat[offsets[i] : offsets[i + 1]]; both arrays may be memory-mapped."""

    flat: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) the length of every sequence."""
        return np.diff(self.offsets)

    def rows(self, index: NDArray[np.int64]) -> "Ragged":
        """The chosen sequences, copied out in the order given."""
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], lengths.cumsum()])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return Ragged(self.flat[places], offsets)
