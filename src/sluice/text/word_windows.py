"""Training examples of word2vec: pairs of centre and context words, in blocks of text."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 64
"""Words per block."""
NEGATIVES_SHARED = 32
"""Negative samples per block."""
CONTEXT_SMOOTHING = 0.75
"""Negative samples are drawn in proportion to word frequency to this power (Mikolov et al. 2013)."""


class Blocks(NamedTuple):
    """B blocks of T centre words, their contexts within a window of W words, and negative samples."""

    centres: Tensor
    """(B, T) int64."""
    contexts: Tensor
    """(B, T + 2W) int64: context j of a block is W positions before centre j in the text."""
    pair_mask: Tensor
    """(B, T, T + 2W) float, 1 for pairs of centre and context word."""
    negatives: Tensor
    """(B, N) int64."""

    @property
    def pairs(self) -> int:
        """Number of pairs of centre and context word."""
        return int(self.pair_mask.sum())


class _Epoch(NamedTuple):
    """Random choices of an epoch: words after subsampling, first and last position of windows, order of blocks."""

    epoch: int
    words: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    order: NDArray[np.int64]


class WordWindows:
    """Pairs of centre and context words of a text, drawn anew in every epoch.

    Mikolov, Sutskever, Chen, Corrado & Dean (2013), "Distributed representations of words and phrases and their
    compositionality": frequent words are dropped at random before windows are formed (as in word2vec, a word of
    relative frequency f is kept with probability √(t/f) + t/f), and the window size of each word is uniform in 1 to W.
    """

    def __init__(
        self,
        flat: NDArray[np.int32],
        offsets: NDArray[np.int64],
        *,
        vocab_size: int,
        window: int = 5,
        sample: float = 1e-3,
        excluded: tuple[int, ...] = (),
        counts: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            flat: (n,) ids of all texts.
            offsets: (texts + 1,) text i is flat[offsets[i] : offsets[i + 1]]; windows do not cross its ends.
            vocab_size: V, vocabulary size.
            window: W, maximum window size to either side.
            sample: subsampling threshold t; 0 disables subsampling.
            excluded: ids to drop, such as that of the unknown word.
            counts: (V,) word counts that determine the frequencies; None to count the words of these texts.
            seed: seed of all random choices.

        Raises:
            ValueError: if `window` is below 1, `sample` is negative, or no word is left.
        """
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}")
        if sample < 0:
            raise ValueError(f"sample must be 0 or more, got {sample}")
        self.window, self.seed = window, seed
        included = ~np.isin(flat, excluded)
        self.words = np.asarray(flat, dtype=np.int64)[included]
        self._text_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[included]
        if not len(self.words):
            raise ValueError("the texts contain no words after exclusion")
        text_counts = np.bincount(self.words, minlength=vocab_size)
        self.counts = text_counts if counts is None else counts
        """(V,) word counts for subsampling and negative sampling."""
        self._keep_probabilities = keep_probabilities(self.counts, sample)
        self._cumulative = np.cumsum(self.counts**CONTEXT_SMOOTHING)
        self.words_per_epoch = float(self._keep_probabilities @ text_counts)
        """Expected number of words per epoch after subsampling."""
        self._drawn: _Epoch | None = None

    def batches(self, batch_blocks: int) -> int:
        """Returns the number of batches per epoch for about `batch_blocks` blocks per batch."""
        return max(1, math.ceil(self.words_per_epoch / (BLOCK * batch_blocks)))

    def epoch(self, epoch: int, batch_blocks: int) -> Iterator[Blocks]:
        """Yields the batches of an epoch, with blocks in random order; deterministic for a seed and epoch."""
        for number in range(self.batches(batch_blocks)):
            yield self.batch(epoch, number, batch_blocks)

    def batch(self, epoch: int, number: int, batch_blocks: int) -> Blocks:
        """Returns a batch of an epoch; batches can be requested in any order.

        Args:
            epoch: the epoch.
            number: index of the batch.
            batch_blocks: approximate number of blocks per batch.
        """
        if self._drawn is None or self._drawn.epoch != epoch:
            self._drawn = self._draw(epoch)
        count = self.batches(batch_blocks)
        order = self._drawn.order
        blocks = order[number::count] if len(order) >= count else np.r_[order, len(order) : count][[number]]
        return self._cut(self._drawn, blocks * BLOCK, np.random.default_rng([self.seed, epoch, number]))

    def _draw(self, epoch: int) -> "_Epoch":
        random = np.random.default_rng([self.seed, epoch])
        kept = random.random(len(self.words)) < self._keep_probabilities[self.words]
        kept[0] |= not kept.any()
        words, text_of = self.words[kept], self._text_of[kept]
        low, high = self._window_bounds(text_of, random)
        return _Epoch(epoch, words, low, high, random.permutation(-(-len(words) // BLOCK)))

    def _window_bounds(
        self, text_of: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the first and last position of each word's window, within its text."""
        positions, width = np.arange(len(text_of)), random.integers(1, self.window + 1, len(text_of))
        first = np.searchsorted(text_of, text_of, side="left")
        last = np.searchsorted(text_of, text_of, side="right") - 1
        return np.maximum(positions - width, first), np.minimum(positions + width, last)

    def _cut(self, drawn: "_Epoch", starts: NDArray[np.int64], random: np.random.Generator) -> Blocks:
        words, low, high = drawn.words, drawn.low, drawn.high
        centres = starts[:, None] + np.arange(BLOCK)
        contexts = starts[:, None] + np.arange(-self.window, BLOCK + self.window)
        inside = np.minimum(centres, len(words) - 1)
        block_low = np.where(centres < len(words), low[inside], len(words) + BLOCK + self.window) - starts[:, None]
        block_high = high[inside] - starts[:, None]
        around = np.arange(-self.window, BLOCK + self.window, dtype=np.int16)
        pair_mask = (around >= block_low.astype(np.int16)[..., None]) & (
            around <= block_high.astype(np.int16)[..., None]
        )
        pair_mask &= around != np.arange(BLOCK, dtype=np.int16)[:, None]
        drawn_frequencies = random.random((len(starts), NEGATIVES_SHARED)) * self._cumulative[-1]
        return Blocks(
            torch.from_numpy(words[inside]),
            torch.from_numpy(words[np.clip(contexts, 0, len(words) - 1)]),
            torch.from_numpy(pair_mask).float(),
            torch.from_numpy(np.searchsorted(self._cumulative, drawn_frequencies, side="right")),
        )


def keep_probabilities(counts: NDArray[np.int64], sample: float) -> NDArray[np.float64]:
    """Returns (V,) the probability of keeping an occurrence of each word: min(1, √(t/f) + t/f)."""
    if not sample:
        return np.ones(len(counts))
    with np.errstate(divide="ignore"):
        ratio = sample * counts.sum() / counts
    return np.minimum(np.sqrt(ratio) + ratio, 1.0)
