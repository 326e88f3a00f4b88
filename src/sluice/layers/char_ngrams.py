"""Word vectors from character n-grams."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CharNgramEmbedding(nn.Module):
    """A word's vector is the sum of its n character n-gram vectors, divided by √n.

    Bojanowski et al. (2017), arXiv 1607.04606, section 3.2, without the division, which gives the vectors of short and
    long words similar norms.
    """

    def __init__(self, *, buckets: int, size: int, word_dropout: float = 0.0, initial_std: float = 0.1) -> None:
        """
        Args:
            buckets: number of vectors; n-grams are hashed to them.
            size: D, units of a vector.
            word_dropout: dropout probability of a word in training; drops all its occurrences in a batch.
            initial_std: standard deviation of the initial vectors.

        Raises:
            ValueError: for a size or number of buckets below 1, or a dropout outside [0, 1).
        """
        super().__init__()
        if buckets < 1 or size < 1:
            raise ValueError(f"character n-grams need at least 1 bucket of size 1, got {buckets} of size {size}")
        if not 0 <= word_dropout < 1:
            raise ValueError(f"word_dropout must lie in [0, 1), got {word_dropout}")
        self.output_size, self.word_dropout = size, word_dropout
        self.weight = nn.Parameter(torch.randn(buckets, size) * initial_std)

    def forward(self, ngrams: Tensor, offsets: Tensor) -> Tensor:
        """Computes the vectors of words.

        Args:
            ngrams: (N,) int64, the buckets of all words' n-grams, concatenated.
            offsets: (W + 1,) int64, the start of each word's n-grams and the end of the last; a word may have none.

        Returns:
            (W, D).
        """
        summed = F.embedding_bag(ngrams, self.weight, offsets, mode="sum", include_last_offset=True)
        vectors = summed * offsets.diff().clamp_min(1).to(summed.dtype).rsqrt().unsqueeze(1)
        if not self.training or self.word_dropout == 0:
            return vectors
        kept = vectors.new_empty(len(vectors), 1).bernoulli_(1 - self.word_dropout)
        return vectors * kept / (1 - self.word_dropout)
