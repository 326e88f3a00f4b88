"""Word vectors from co-occurrence counts of the training texts (PPMI and SVD)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sluice.data.ragged import Ragged

WINDOW = 5
CONTEXT_SMOOTHING = 0.75
OVERSAMPLING, ITERATIONS = 16, 3
"""Parameters of the randomised SVD (Halko, Martinsson & Tropp 2011)."""


def ppmi_vectors(texts: Ragged, vocab_size: int, size: int, *, window: int = WINDOW) -> Tensor:
    """Computes word vectors by a truncated SVD of the positive pointwise mutual information (PPMI) of word pairs.

    Levy, Goldberg & Dagan (2015), "Improving distributional similarity with lessons learned from word embeddings",
    TACL 3: PPMI with context distribution smoothing 0.75, closer pairs weighted higher, vectors U √Σ. Frequent words
    get longer vectors than rare ones. Deterministic for given texts.

    Args:
        texts: ids of the training texts.
        vocab_size: V, vocabulary size.
        size: dimension of the vectors.
        window: number of context words on either side.

    Returns:
        (V, size); zero for words without context words.
    """
    first, second, counts = _pairs(texts, vocab_size, window)
    totals = np.bincount(first, counts, vocab_size)
    contexts = np.bincount(second, counts, vocab_size) ** CONTEXT_SMOOTHING
    information = np.log(counts * contexts.sum() / (totals[first] * contexts[second]))
    positive = information > 0
    indices = torch.from_numpy(np.stack([first[positive], second[positive]]))
    values = torch.from_numpy(information[positive].astype(np.float32))
    matrix = torch.sparse_coo_tensor(indices, values, (vocab_size, vocab_size), check_invariants=False).coalesce()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would also seed the GPU generators
        left, singular, _ = torch.svd_lowrank(matrix, q=min(size + OVERSAMPLING, vocab_size), niter=ITERATIONS)
    vectors = left[:, :size] * singular[:size].sqrt()
    return torch.nn.functional.pad(vectors, (0, size - vectors.shape[1]))


def _pairs(
    texts: Ragged, vocab_size: int, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Counts the pairs of words within `window` of each other in a text, in both orders.

    A pair at distance d counts as (window − d + 1) / window.
    """
    flat = np.asarray(texts.flat, dtype=np.int64)
    text_of = np.repeat(np.arange(len(texts)), texts.lengths)
    keys, counts = [], []
    for distance in range(1, window + 1):
        same_text = text_of[distance:] == text_of[:-distance]
        before, after = flat[:-distance][same_text], flat[distance:][same_text]
        unique, count = np.unique(
            np.minimum(before, after) * vocab_size + np.maximum(before, after), return_counts=True
        )
        keys.append(unique)
        counts.append(count * (window - distance + 1) / window)
    unique, index = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(index, np.concatenate(counts))
    low, high = unique // vocab_size, unique % vocab_size
    distinct = low != high
    first, second = np.concatenate([low, high[distinct]]), np.concatenate([high, low[distinct]])
    return first, second, np.concatenate([np.where(distinct, total, 2 * total), total[distinct]])
