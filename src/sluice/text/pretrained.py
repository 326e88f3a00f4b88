"""Vectors made elsewhere for the words of a vocabulary."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError
from sluice.text.vector_files import VectorFile
from sluice.text.vocab import PADDING_ID, SPECIALS, Vocab


class VectorMatches(NamedTuple):
    """The vectors of a file by the ids of a vocabulary."""

    vectors: NDArray[np.float32]
    """(V, D), zero for words the file doesn't have and for the padding."""
    found: NDArray[np.bool_]
    """(V,)."""

    @property
    def num_found(self) -> int:
        """How many words were found, specials not counted."""
        return int(self.found[len(SPECIALS) :].sum())

    @property
    def coverage(self) -> float:
        """Which part of the vocabulary's words that is."""
        return self.num_found / max(len(self.found) - len(SPECIALS), 1)

    def fill_missing(self, seed: int) -> NDArray[np.float32]:
        """(V, D) with normal vectors, spread as widely as the found ones, for the words that were not found."""
        vectors, missing = self.vectors.copy(), ~self.found
        missing[PADDING_ID] = False
        own = self.vectors[self.found]
        drawn = np.random.default_rng(seed).standard_normal((int(missing.sum()), own.shape[1]), dtype=np.float32)
        vectors[missing] = drawn * own.std(0) + own.mean(0)
        return vectors


def match_vectors(path: Path, vocab: Vocab, *, size: int | None = None) -> VectorMatches:
    """Reads from a file the vectors of the words that a vocabulary has, and no others into memory.

    Args:
        path: see `VectorFile` for the kinds there are.
        vocab: V words.
        size: D that is expected; None takes the file's.

    Raises:
        UserError: the file is not as it should be, has vectors of another size, or none of the words.
    """
    with VectorFile(path) as file:
        if size is not None and file.size != size:
            raise UserError(
                f"{path} has vectors of {file.size} numbers, the model wants {size}: "
                f"set embedding.size={file.size} or name another file."
            )
        ids = {token.encode(): index for index, token in enumerate(vocab.tokens) if index != PADDING_ID}
        vectors = np.zeros((len(vocab), file.size), dtype=np.float32)
        found = np.zeros(len(vocab), dtype=np.bool_)
        for row in file.rows():
            index = ids.get(row.word)
            if index is not None and not found[index]:
                vectors[index], found[index] = file.numbers(row), True
    if not found[len(SPECIALS) :].any():
        raise UserError(f"{path} has none of the {len(vocab) - len(SPECIALS)} words: is it of this language?")
    return VectorMatches(vectors, found)
