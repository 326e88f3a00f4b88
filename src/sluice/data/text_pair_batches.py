"""What a step of the pair classifier gets: two texts a pair, and the letters of their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sluice.data.batch import Batch
from sluice.data.batches import pad
from sluice.data.ragged import Ragged
from sluice.data.text_pairs import TextPairSplit


@dataclass
class TextPairBatch(Batch):
    """A padded batch of B pairs: 2 B texts, the first ones before the second ones."""

    moved: ClassVar[tuple[str, ...]] = ("ngrams", "offsets", "places", "labels", "deciding")

    ngrams: Tensor
    """(N,) int64, n-grams of the W different words of the batch, word after word."""
    offsets: Tensor
    """(W + 1,) int64, where each word's begin."""
    places: Tensor
    """(2 B, T) int64, which of the words stands where; that of the padding beyond each length."""
    lengths: Tensor
    """(2 B,) int64, always on the CPU."""
    labels: Tensor
    """(B,) int64."""
    index: Tensor
    """(B,) int64, each pair's place in its split; on the CPU."""
    deciding: Tensor | None = None
    """(2 B, T) bool, True on deciding words; None where the corpus doesn't know them."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tokens(self) -> int:
        """Words without the padding."""
        return int(self.lengths.sum())

    @property
    def padding_share(self) -> float:
        """Share of padding in the batch."""
        return 1 - self.tokens / self.places.numel()


class TextPairBatchMaker:
    """Turns the indices of a batch into a TextPairBatch: a DataLoader's collate function."""

    def __init__(
        self, split: TextPairSplit, ngrams: Ragged, *, max_length: int, truncation: str, with_deciding: bool = False
    ) -> None:
        """
        Args:
            split: where the pairs are.
            ngrams: n-grams of each word of the table.
            max_length: most words kept of a text.
            truncation: "head", "tail" or "head_tail".
            with_deciding: whether the batches say which words decide.
        """
        self.split, self.ngrams = split, ngrams
        self.max_length, self.truncation, self.with_deciding = max_length, truncation, with_deciding

    def __call__(self, indices: Sequence[int]) -> TextPairBatch:
        index = np.asarray(indices, dtype=np.int64)
        rows = self.split.rows(index)
        ids, lengths = pad(self.split.texts, rows, self.max_length, self.truncation)
        words, places = np.unique(ids.numpy(), return_inverse=True)
        letters = self.ngrams.rows(words)
        deciding = None
        if self.with_deciding:
            marks, _ = pad(self.split.deciding, rows, self.max_length, self.truncation)
            deciding = (marks == 1) & (torch.arange(ids.shape[1]) < lengths.unsqueeze(1))
        return TextPairBatch(
            ngrams=torch.from_numpy(letters.flat.astype(np.int64)),
            offsets=torch.from_numpy(letters.offsets),
            places=torch.from_numpy(places.reshape(ids.shape)),
            lengths=lengths,
            labels=torch.from_numpy(self.split.labels[index]),
            index=torch.from_numpy(index),
            deciding=deciding,
        )
