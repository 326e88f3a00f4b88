"""Nearest neighbours, analogies and principal components of word vectors."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError

METRICS = ("cosine", "manhattan")
MAX_SUGGESTIONS = 3
"""Maximum number of similar words suggested for an unknown word."""
MAX_LENGTH_DIFFERENCE = 2
"""Maximum difference in characters between an unknown word and a suggestion."""


class Neighbour(NamedTuple):
    """A word, and its similarity to the query."""

    word: str
    """The word."""
    cosine: float
    """Cosine similarity to the query, from -1 to 1."""
    manhattan: float
    """Manhattan (L1) distance to the query."""


class EmbeddingSpace:
    """Words and their vectors.

    Example:
        >>> import numpy as np
        >>> from sluice.analysis import EmbeddingSpace
        >>> space = EmbeddingSpace(["cat", "dog", "sea"], np.array([[1, 0], [1, 1], [-1, 2]], dtype=np.float32))
        >>> [neighbour.word for neighbour in space.neighbours("cat")]
        ['dog', 'sea']
    """

    def __init__(self, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """
        Args:
            words: N distinct words.
            vectors: (N, D).

        Raises:
            ValueError: if the numbers of words and vectors differ or are 0.
        """
        if vectors.ndim != 2 or len(words) != len(vectors) or not len(words):
            raise ValueError(f"{len(words)} words need vectors of shape ({len(words)}, D), got {vectors.shape}")
        self.words, self.vectors = list(words), vectors
        self._indices = {word: index for index, word in enumerate(self.words)}
        self._normalized = _normalize(vectors)

    def index(self, word: str) -> int:
        """Returns the row of a word.

        Raises:
            UserError: if the word is unknown; suggests words of similar spelling.
        """
        if word not in self._indices:
            raise UserError(f"there is no word {word!r} among the {len(self.words):,}{self._suggestions(word)}")
        return self._indices[word]

    def neighbours(self, word: str, top: int = 10, metric: str = "cosine") -> list[Neighbour]:
        """Returns the nearest neighbours of a word, the nearest first.

        Args:
            word: the word, which is excluded from the result.
            top: number of neighbours.
            metric: "cosine" or "manhattan".

        Raises:
            UserError: if the word is unknown.
            ValueError: if the metric is unknown.
        """
        index = self.index(word)
        return self._nearest(self.vectors[index], (index,), top, metric)

    def analogy(self, a: str, b: str, c: str, top: int = 10, metric: str = "cosine") -> list[Neighbour]:
        """Returns the words nearest to a − b + c, for example king − man + woman.

        All vectors are normalized to length 1. Mikolov, Yih & Zweig (2013), "Linguistic regularities in continuous
        space word representations", section 4.

        Args:
            a: the first word; all three are excluded from the result.
            b: the word that is subtracted.
            c: the word that is added.
            top: number of words.
            metric: "cosine" or "manhattan".

        Raises:
            UserError: if a word is unknown.
            ValueError: if the metric is unknown.
        """
        indices = tuple(map(self.index, (a, b, c)))
        vector_a, vector_b, vector_c = self._normalized[list(indices)]
        return self._nearest(vector_a - vector_b + vector_c, indices, top, metric, self._normalized)

    def _nearest(
        self,
        target: NDArray[np.float32],
        excluded: tuple[int, ...],
        top: int,
        metric: str,
        points: NDArray[np.float32] | None = None,
    ) -> list[Neighbour]:
        if metric not in METRICS:
            raise ValueError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
        cosines = self._normalized @ _normalize(target[None])[0]
        distances = np.abs((self.vectors if points is None else points) - target).sum(1)
        order = np.argsort(-cosines if metric == "cosine" else distances, kind="stable")
        nearest = [index for index in order[: top + len(excluded)].tolist() if index not in excluded][:top]
        return [Neighbour(self.words[index], float(cosines[index]), float(distances[index])) for index in nearest]

    def _suggestions(self, word: str) -> str:
        candidates = [known for known in self.words if abs(len(known) - len(word)) <= MAX_LENGTH_DIFFERENCE]
        other_case = [known for known in candidates if known.lower() == word.lower()]
        similar = difflib.get_close_matches(word, candidates, MAX_SUGGESTIONS)
        found = list(dict.fromkeys([*other_case, *similar]))[:MAX_SUGGESTIONS]
        return f": did you mean {', '.join(found)}?" if found else ": choose another word"


class PCAProjection(NamedTuple):
    """Points projected on their first two principal components."""

    points: NDArray[np.float32]
    """(N, 2)."""
    explained_variance_ratio: tuple[float, float]
    """Fraction of the total variance explained by each component."""


def pca_projection(vectors: NDArray[np.float32]) -> PCAProjection:
    """Projects vectors on their first two principal components.

    The sign of each component is chosen so that its coefficient of largest magnitude is positive.

    Args:
        vectors: (N, D), N and D at least 2.

    Raises:
        ValueError: if N or D is below 2.
    """
    if min(vectors.shape) < 2:
        raise ValueError(f"two principal components need vectors of shape (2, 2) or larger, got {vectors.shape}")
    centred = (vectors - vectors.mean(0)).astype(np.float64)
    _, singular_values, directions = np.linalg.svd(centred, full_matrices=False)
    components = directions[:2]
    largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1)
    variances = singular_values**2
    ratio = variances[:2] / max(float(variances.sum()), np.finfo(np.float64).tiny)
    points = centred @ (components * np.where(largest < 0, -1.0, 1.0)).T
    return PCAProjection(points.astype(np.float32), (float(ratio[0]), float(ratio[1])))


def _normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows scaled to length 1; zero rows are unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
