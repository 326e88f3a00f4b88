"""Linear classification by the n-grams of words that occur in a text."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MULTIPLIER, RANGE = 1640531527, 2**32
"""Multiplicative hashing (Knuth, volume 3, section 6.4): an odd number near 2^32 divided by the square of the golden
ratio, below 2^31, so that products stay within int64."""
OFFSET, SCALE, RATE = 0.4, 0.05, 5.0


class NgramClassifier(nn.Module):
    """Naive Bayes log-count ratios of n-grams, rescaled by learned weights (NBSVM).

    Wang & Manning (2012), "Baselines and bigrams: simple, good sentiment and topic classification", equations 2 and 3,
    with binary counts and the cross-entropy instead of the hinge loss:

        logit(c) = b(c) + s · Σ r(f, c) · (a + k·w(f, c)) over the distinct n-grams f of the text

    r is the log-count ratio of the texts of class c and all others, computed once from the training texts and not
    trained. w starts at 0, so that the model is naive Bayes at first. The constants are s = 0.05, a = 0.4, and k = 5,
    the learning rate of w relative to that of the other weights. Single words have a row of the table each; longer
    n-grams are hashed to `buckets` rows.

    Example:
        >>> linear = NgramClassifier(vocab_size=10, num_classes=2, max_n=2, buckets=100)
        >>> ids, mask = torch.tensor([[3, 4, 5], [3, 6, 1]]), torch.tensor([[True, True, True], [True, True, False]])
        >>> linear.fit_ratios([(ids, mask, torch.tensor([0, 1]))])
        >>> linear(ids, mask).argmax(1)
        tensor([0, 1])
    """

    ratios: Tensor
    """(rows, classes) log-count ratios."""

    def __init__(self, *, vocab_size: int, num_classes: int, max_n: int = 2, buckets: int = 2**20) -> None:
        """
        Args:
            vocab_size: V, size of the vocabulary.
            num_classes: C, number of classes.
            max_n: length of the longest n-grams, in words.
            buckets: rows for the n-grams of two and more words.

        Raises:
            ValueError: for a length or a number of buckets below 1.
        """
        super().__init__()
        if max_n < 1 or buckets < 1:
            raise ValueError(f"n-grams need max_n and buckets of at least 1, got {max_n} and {buckets}")
        self.vocab_size, self.max_n, self.buckets = vocab_size, max_n, buckets
        rows = vocab_size + (buckets if max_n > 1 else 0)
        self.weight = nn.Parameter(torch.zeros(rows, num_classes))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.register_buffer("ratios", torch.zeros(rows, num_classes))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Classifies texts.

        Args:
            ids: (B, T) int64.
            mask: (B, T) bool, True within each text's length; padding is on the right.

        Returns:
            Logits (B, C).
        """
        rows, kept = self.distinct_rows(ids, mask)
        weights = F.embedding(rows, self.weight)
        ratios = F.embedding(rows, self.ratios) * kept.unsqueeze(-1)
        return self.bias + SCALE * (ratios * (OFFSET + RATE * weights)).sum(1)

    def distinct_rows(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the rows of the n-grams of each text.

        Args:
            ids: (B, T) int64.
            mask: (B, T) bool.

        Returns:
            Rows (B, K) int64, sorted, and a mask (B, K) that is True once for each distinct row within the length.
        """
        rows, valid, found = ids, mask, [torch.where(mask, ids, -1)]
        for shift in range(1, self.max_n):
            last, within = F.pad(ids, (0, shift))[:, shift:], F.pad(mask, (0, shift))[:, shift:]
            keys = (rows * self.vocab_size + last) % RANGE * MULTIPLIER % RANGE
            rows, valid = keys * self.buckets // RANGE, valid & within
            found.append(torch.where(valid, self.vocab_size + rows, -1))
        together, _ = torch.cat(found, 1).sort(1)
        repeated = together == F.pad(together, (1, 0), value=-1)[:, :-1]
        return together.clamp_min(0), (together >= 0) & ~repeated

    @torch.no_grad()
    def fit_ratios(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Computes the log-count ratios of the training texts; one is added to every count.

        Args:
            batches: ids (B, T) int64, mask (B, T) bool and labels (B,) int64, on the CPU.
        """
        rows, classes = self.ratios.shape
        counts = torch.zeros(rows * classes)
        for ids, mask, labels in batches:
            found, kept = self.distinct_rows(ids, mask)
            counts += torch.bincount((found * classes + labels.unsqueeze(1))[kept], minlength=len(counts))
        counts = counts.view(rows, classes)
        own, others = counts + 1, counts.sum(1, keepdim=True) - counts + 1
        self.ratios.copy_((own / own.sum(0)).log() - (others / others.sum(0)).log())
