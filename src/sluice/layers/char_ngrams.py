"""Vectors of words made of their letters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CharNgramEmbedding(nn.Module):
    """A word's vector is the sum of the vectors of its letter n-grams, over the root of their number.

    Bojanowski et al. (2017), arXiv 1607.04606, equation 2, where the sum isn't divided: long words would be loud.
    """

    def __init__(self, *, buckets: int, size: int, word_dropout: float = 0.0, initial_std: float = 0.1) -> None:
        """
        Args:
            buckets: vectors that the n-grams share.
            size: D, units of a vector.
            word_dropout: share of the words dropped from a training batch, every occurrence together.
            initial_std: deviation of the numbers in a vector to begin with.

        Raises:
            ValueError: for a size or number of buckets below 1, or a dropout outside [0, 1).
        """
        super().__init__()
        if buckets < 1 or size < 1:
            raise ValueError(f"the letters' vectors must be at least 1 of size 1, got {buckets} of size {size}")
        if not 0 <= word_dropout < 1:
            raise ValueError(f"word_dropout must lie in [0, 1), got {word_dropout}")
        self.output_size, self.word_dropout = size, word_dropout
        self.weight = nn.Parameter(torch.randn(buckets, size) * initial_std)

    def forward(self, ngrams: Tensor, offsets: Tensor) -> Tensor:
        """
        Args:
            ngrams: (N,) int64, the buckets of all words' n-grams, word after word.
            offsets: (W + 1,) int64, where each word's begin and the last one's end; a word may have none.

        Returns:
            (W, D).
        """
        summed = F.embedding_bag(ngrams, self.weight, offsets, mode="sum", include_last_offset=True)
        vectors = summed * offsets.diff().clamp_min(1).to(summed.dtype).rsqrt().unsqueeze(1)
        if not self.training or self.word_dropout == 0:
            return vectors
        keep = vectors.new_empty(len(vectors), 1).bernoulli_(1 - self.word_dropout)
        return vectors * keep / (1 - self.word_dropout)
