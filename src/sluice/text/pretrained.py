"""Pretrained vectors for the words of a vocabulary."""

from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError
from sluice.text.vector_files import VectorFile, VectorRow, log_repeated
from sluice.text.vocab import PADDING_ID, SPECIALS, Vocab


class VectorMatches(NamedTuple):
    """Pretrained vectors matched to the ids of a vocabulary."""

    vectors: NDArray[np.float32]
    """(V, D), zero for words not in the file and for padding."""
    found: NDArray[np.bool_]
    """(V,) True for words found in the file."""

    @property
    def num_found(self) -> int:
        """Number of words found, excluding specials."""
        return int(self.found[len(SPECIALS) :].sum())

    @property
    def coverage(self) -> float:
        """Fraction of the vocabulary found, excluding specials."""
        return self.num_found / max(len(self.found) - len(SPECIALS), 1)

    def fill_missing(self, seed: int) -> NDArray[np.float32]:
        """Returns (V, D), with missing vectors drawn from a normal distribution fitted to those found."""
        vectors, missing = self.vectors.copy(), ~self.found
        missing[PADDING_ID] = False
        found = self.vectors[self.found]
        drawn = np.random.default_rng(seed).standard_normal((int(missing.sum()), found.shape[1]), dtype=np.float32)
        vectors[missing] = drawn * found.std(0) + found.mean(0)
        return vectors


def open_vectors(path: Path, size: int | None) -> VectorFile:
    """Opens a file of vectors, of which only the first rows are read.

    Args:
        path: a file of a format that `VectorFile` supports.
        size: expected dimension, which also selects a file of a .zip archive; None accepts that of the file.

    Raises:
        UserError: if its first rows are invalid, or the dimension differs.
    """
    file = VectorFile(path, size)
    if size in (None, file.size):
        return file
    with file:
        raise UserError(
            f"{path} has vectors of dimension {file.size}, but the model expects {size}: "
            f"set embedding.size={file.size} or use another file"
        )


def match_vectors(path: Path, vocab: Vocab, *, size: int | None = None) -> VectorMatches:
    """Reads the vectors of a vocabulary from a file; other vectors are not loaded into memory.

    A word that is not in the file takes the vector of a canonically equivalent one (equal in Unicode's form NFC).

    Args:
        path: a file of a format that `VectorFile` supports.
        vocab: vocabulary of V words.
        size: expected dimension D, which also selects a file of a .zip archive; None accepts that of the file.

    Raises:
        UserError: if the file is invalid, the dimension differs, or none of the words is found.
    """
    with open_vectors(path, size) as file:
        ids = {token: index for index, token in enumerate(vocab.tokens) if index != PADDING_ID}
        vectors = np.zeros((len(vocab), file.size), dtype=np.float32)
        found = np.zeros(len(vocab), dtype=np.bool_)
        composed = {normalize("NFC", token): index for token, index in ids.items() if not token.isascii()}
        equivalent: dict[int, VectorRow] = {}
        repeated = 0
        for row in file.rows():
            index = ids.get(row.word)
            if index is None:
                other = None if row.word.isascii() else composed.get(normalize("NFC", row.word))
                if other is not None:
                    equivalent.setdefault(other, row)
            elif found[index]:
                repeated += 1
            else:
                vectors[index], found[index] = file.numbers(row), True
        for index, row in equivalent.items():
            if not found[index]:
                vectors[index], found[index] = file.numbers(row), True
    log_repeated(path, repeated)
    if not found[len(SPECIALS) :].any():
        raise UserError(
            f"{path} contains none of the {len(vocab) - len(SPECIALS)} words of the vocabulary: check its language"
        )
    return VectorMatches(vectors, found)
