"""Word vectors: nearest neighbours and analogies."""

import difflib
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UserError
from sluice.layers.embedding import LearnedEmbedding
from sluice.text.coder import MARKS
from sluice.text.tokenizers import END_OF_LINE
from sluice.text.vocab import SPECIALS

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


class Embeddings:
    """Words and their vectors: of task=word2vec, of another network, or of a file.

    Example:
        >>> import numpy as np
        >>> from sluice.inference import Embeddings
        >>> space = Embeddings(["cat", "dog", "sea"], np.array([[1, 0], [1, 1], [-1, 2]], dtype=np.float32))
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

    description: ClassVar[str] = "contains word vectors"
    """Completes "a model that ..." in error messages."""

    def __len__(self) -> int:
        """Number of words."""
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._indices

    def vector(self, word: str) -> NDArray[np.float32]:
        """Returns the vector (D,) of a word.

        Raises:
            UserError: as `index`.

        Example:
            >>> Embeddings(["cat", "dog"], np.array([[1, 0], [1, 1]], dtype=np.float32)).vector("dog")
            array([1., 1.], dtype=float32)
        """
        return self.vectors[self.index(word)]

    def index(self, word: str) -> int:
        """Returns the row of a word.

        Raises:
            UserError: if the word is unknown; suggests words of similar spelling.

        Example:
            >>> Embeddings(["cat", "dog"], np.eye(2, dtype=np.float32)).index("dog")
            1
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

        Example:
            >>> space = Embeddings(["cat", "dog", "sea"], np.array([[1, 0], [1, 1], [-1, 2]], dtype=np.float32))
            >>> space.neighbours("cat", top=1)
            [Neighbour(word='dog', cosine=0.7071067..., manhattan=1.0)]
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

        Example:
            >>> vectors = np.array([[2, 0], [1, 0], [1, 2], [2, 2]], dtype=np.float32)
            >>> Embeddings(["king", "man", "woman", "queen"], vectors).analogy("king", "man", "woman")[0].word
            'queen'
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


def word_embeddings(words: Sequence[str], vectors: NDArray[np.float32]) -> Embeddings:
    """Returns the vectors of a vocabulary without its special tokens.

    Args:
        words: the N tokens of the vocabulary.
        vectors: (N, D).

    Example:
        >>> word_embeddings(["<unk>", "<pad>", "sea"], np.eye(3, dtype=np.float32)).words
        ['sea']
    """
    kept = [index for index, word in enumerate(words) if word not in (*SPECIALS, *MARKS, END_OF_LINE)]
    return Embeddings([words[index] for index in kept], vectors[kept])


def learned_embeddings(embedding: object, words: Sequence[str]) -> Embeddings:
    """Returns the vectors of a network's embedding, without special tokens.

    Args:
        embedding: the embedding.
        words: the tokens of its rows.

    Raises:
        UserError: if its vectors are not learned, or not of these words.
    """
    if not isinstance(embedding, LearnedEmbedding) or len(words) != len(embedding.table.weight):
        raise UserError("this model has no learned word vectors: load one trained with embedding=learned")
    return word_embeddings(words, embedding.table.weight.detach().float().cpu().numpy())


def _normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows scaled to length 1; zero rows are unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
