"""Words as points: which lie near which, and what their directions mean."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError

METRICS = ("cosine", "manhattan")
SPELLINGS = 3
"""Words offered for one that isn't there."""
LONGER = 2
"""Letters that an offered word may have more or fewer."""


class Neighbour(NamedTuple):
    """A word and how it lies to what was asked for."""

    word: str
    cosine: float
    """Of the angle between them, from -1 to 1."""
    manhattan: float
    """The sum of the differences of all coordinates."""


class EmbeddingSpace:
    """Words with their vectors."""

    def __init__(self, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """
        Args:
            words: N different words.
            vectors: (N, D).

        Raises:
            ValueError: if there are not as many vectors as words, or none.
        """
        if vectors.ndim != 2 or len(words) != len(vectors) or not len(words):
            raise ValueError(f"{len(words)} words need as many rows, got an array of shape {vectors.shape}")
        self.words, self.vectors = list(words), vectors
        self._places = {word: place for place, word in enumerate(self.words)}
        self._units = _unit(vectors)

    def index(self, word: str) -> int:
        """Which row is the word's.

        Raises:
            UserError: if there is none; offers the nearest spellings.
        """
        if word not in self._places:
            raise UserError(f"there is no word {word!r} among the {len(self.words):,}{self._offer(word)}")
        return self._places[word]

    def neighbours(self, word: str, top: int = 10, metric: str = "cosine") -> list[Neighbour]:
        """The words that lie nearest a word, the nearest first, without itself.

        Args:
            word: one that is there.
            top: how many.
            metric: what nearest means, see METRICS.

        Raises:
            UserError: for a word that isn't there.
            ValueError: for a metric that doesn't exist.
        """
        place = self.index(word)
        return self._nearest(self.vectors[place], (place,), top, metric)

    def analogy(self, a: str, b: str, c: str, top: int = 10, metric: str = "cosine") -> list[Neighbour]:
        """What is to c as a is to b: the words nearest a − b + c, all three at length 1, without these.

        Mikolov, Yih & Zweig (2013), "Linguistic regularities in continuous space word representations", section 4.

        Args:
            a: as in king − man + woman.
            b: what is taken away.
            c: what is added.
            top: how many.
            metric: what nearest means, see METRICS; of the Manhattan distance all words are at length 1 too.

        Raises:
            UserError: for a word that isn't there.
            ValueError: for a metric that doesn't exist.
        """
        places = tuple(map(self.index, (a, b, c)))
        first, taken, added = self._units[list(places)]
        return self._nearest(first - taken + added, places, top, metric, self._units)

    def _nearest(
        self,
        target: NDArray[np.float32],
        without: tuple[int, ...],
        top: int,
        metric: str,
        points: NDArray[np.float32] | None = None,
    ) -> list[Neighbour]:
        if metric not in METRICS:
            raise ValueError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
        cosines = self._units @ _unit(target[None])[0]
        distances = np.abs((self.vectors if points is None else points) - target).sum(1)
        order = np.argsort(-cosines if metric == "cosine" else distances, kind="stable")
        found = [place for place in order[: top + len(without)].tolist() if place not in without][:top]
        return [Neighbour(self.words[place], float(cosines[place]), float(distances[place])) for place in found]

    def _offer(self, word: str) -> str:
        like = [own for own in self.words if abs(len(own) - len(word)) <= LONGER]
        same = [own for own in like if own.lower() == word.lower()]
        found = list(dict.fromkeys([*same, *difflib.get_close_matches(word, like, SPELLINGS)]))[:SPELLINGS]
        return f": did you mean {', '.join(found)}?" if found else ": give another one"


class PCAProjection(NamedTuple):
    """Points in the two directions in which they differ most."""

    points: NDArray[np.float32]
    """(N, 2)."""
    explained_variance_ratio: tuple[float, float]
    """Of all variance, that lies in each direction."""


def pca_projection(vectors: NDArray[np.float32]) -> PCAProjection:
    """The first two principal components; each points to where its largest weight is positive.

    Args:
        vectors: (N, D), N and D at least 2.

    Raises:
        ValueError: for fewer.
    """
    if min(vectors.shape) < 2:
        raise ValueError(f"a plane needs at least two points of two coordinates, got {vectors.shape}")
    centred = (vectors - vectors.mean(0)).astype(np.float64)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    plane = directions[:2]
    largest = np.take_along_axis(plane, np.abs(plane).argmax(1)[:, None], 1)
    variances = lengths**2
    explained_variance_ratio = variances[:2] / max(float(variances.sum()), np.finfo(np.float64).tiny)
    points = centred @ (plane * np.where(largest < 0, -1.0, 1.0)).T
    return PCAProjection(
        points.astype(np.float32), (float(explained_variance_ratio[0]), float(explained_variance_ratio[1]))
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row at length 1; zero rows stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
