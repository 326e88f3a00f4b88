"""Raw lines of text in one flat array of bytes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Lines:
    """Line i is the UTF-8 of flat[offsets[i] : offsets[i + 1]]; both arrays may be memory-mapped."""

    def __init__(self, flat: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.flat, self.offsets = flat, offsets

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Lines":
        """The lines of these texts."""
        encoded = [text.encode() for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(line) for line in encoded], dtype=np.int64)]).astype(np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"line {index} of {len(self)}")
        return self.flat[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()
