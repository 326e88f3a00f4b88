"""PPMI word vectors."""

import numpy as np
import torch

from sluice.data.ppmi import ppmi_vectors
from sluice.data.ragged import Ragged


def ragged(texts: list[list[int]]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return Ragged(np.concatenate(texts).astype(np.int32), offsets)


def dense_ppmi(texts: list[list[int]], size: int, window: int) -> np.ndarray:
    """The matrix computed from the definition."""
    counts = np.zeros((size, size))
    for text in texts:
        for position, word in enumerate(text):
            for other in range(len(text)):
                distance = abs(position - other)
                if 0 < distance <= window:
                    counts[word, text[other]] += (window - distance + 1) / window
    contexts = counts.sum(0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts * contexts.sum() / np.outer(counts.sum(1), contexts))
    return np.where(counts > 0, np.maximum(information, 0), 0)


def random_texts(count: int = 30, words: int = 12) -> list[list[int]]:
    draw = np.random.default_rng(0)
    return [draw.integers(2, words, draw.integers(1, 9)).tolist() for _ in range(count)]


def test_full_rank_vectors_reproduce_the_ppmi_matrix() -> None:
    texts, words = random_texts(), 12
    expected = dense_ppmi(texts, words, window=3)
    vectors = ppmi_vectors(ragged(texts), words, words, window=3).numpy()
    left, singular, _ = np.linalg.svd(expected)
    np.testing.assert_allclose(vectors @ vectors.T, left * singular @ left.T, atol=1e-4)


def test_words_in_similar_contexts_have_similar_vectors() -> None:
    draw = np.random.default_rng(1)
    texts = [[draw.choice([2, 3]), 6, 7] for _ in range(200)] + [[draw.choice([4, 5]), 8, 9] for _ in range(200)]
    vectors = torch.nn.functional.normalize(ppmi_vectors(ragged(texts), 10, 4), dim=1)
    assert vectors[2] @ vectors[3] > 0.95
    assert abs(vectors[2] @ vectors[4]) < 0.3


def test_deterministic_without_touching_the_global_seed() -> None:
    texts = ragged(random_texts())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = ppmi_vectors(texts, 12, 4)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, ppmi_vectors(texts, 12, 4))


def test_windows_do_not_cross_texts() -> None:
    apart = ppmi_vectors(ragged([[2, 3], [4, 5]] * 5), 6, 6)
    assert abs(apart[3] @ apart[4]) < 1e-5


def test_dimensions_above_the_vocabulary_size_are_zero() -> None:
    vectors = ppmi_vectors(ragged([[2, 3, 2], [3, 2]]), 4, 7)
    assert vectors.shape == (4, 7)
    assert (vectors[:, 4:] == 0).all()
    assert vectors[:2].abs().max() < 1e-6


def test_single_word_texts_give_zero_vectors() -> None:
    assert (ppmi_vectors(ragged([[2], [3]]), 4, 2) == 0).all()
