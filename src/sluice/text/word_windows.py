"""Which words stand near which: the examples that word vectors are learned from, cut out of a text in blocks."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 64
"""Words of a block."""
NEGATIVES_SHARED = 32
"""Words drawn against a block."""
CONTEXT_SMOOTHING = 0.75
"""Negative words are drawn by their frequency to this power (Mikolov et al. 2013)."""


class Blocks(NamedTuple):
    """B pieces of text of T words, the words up to W places around them, and words drawn against them."""

    centres: Tensor
    """(B, T) int64."""
    contexts: Tensor
    """(B, T + 2W) int64: the word at place j of a block stands W places before centre j."""
    near: Tensor
    """(B, T, T + 2W) float, 1 where centre and context make a pair."""
    negatives: Tensor
    """(B, N) int64."""

    @property
    def pairs(self) -> int:
        """Pairs of words that stand near each other."""
        return int(self.near.sum())


class _Epoch(NamedTuple):
    """What is drawn once an epoch: the words that are left, first and last place of their windows, order of blocks."""

    epoch: int
    words: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    order: NDArray[np.int64]


class WordWindows:
    """A text as pairs of words that stand near each other, other ones in every epoch.

    Mikolov, Sutskever, Chen, Corrado & Dean (2013), "Distributed representations of words and phrases and their
    compositionality": frequent words are left out at random before windows are cut (in word2vec's form, a word of
    relative frequency f stays with probability √(t/f) + t/f), and each word's window has a random width from 1 to W.
    """

    def __init__(
        self,
        flat: NDArray[np.int32],
        offsets: NDArray[np.int64],
        *,
        vocab_size: int,
        window: int = 5,
        sample: float = 1e-3,
        left_out: tuple[int, ...] = (),
        counts: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            flat: (n,) ids of all texts.
            offsets: (texts + 1,) text i is flat[offsets[i] : offsets[i + 1]]; no pair reaches over its ends.
            vocab_size: V.
            window: W, places to either side.
            sample: t; 0 leaves no word out.
            left_out: ids that take no part, as that of the unknown word.
            counts: (V,) how often each word stands in the text that decides frequencies; None for this one.
            seed: of all that is drawn.

        Raises:
            ValueError: for a window below 1, a negative t, or a text in which no word is left.
        """
        if window < 1:
            raise ValueError(f"window must be at least 1, got {window}")
        if sample < 0:
            raise ValueError(f"sample must be 0 or more, got {sample}")
        self.window, self.seed = window, seed
        taking_part = ~np.isin(flat, left_out)
        self.words = np.asarray(flat, dtype=np.int64)[taking_part]
        self._text_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[taking_part]
        if not len(self.words):
            raise ValueError("the texts have no word to learn from")
        own = np.bincount(self.words, minlength=vocab_size)
        self.counts = own if counts is None else counts
        """(V,), that decide how often a word is left out and how often it is drawn."""
        self._keep = keep_probabilities(self.counts, sample)
        self._cumulative = np.cumsum(self.counts**CONTEXT_SMOOTHING)
        self.words_per_epoch = float(self._keep @ own)
        """How many are left, on average."""
        self._drawn: _Epoch | None = None

    def batches(self, batch_blocks: int) -> int:
        """Batches of an epoch, the same number in each, for about so many blocks a batch."""
        return max(1, math.ceil(self.words_per_epoch / (BLOCK * batch_blocks)))

    def epoch(self, epoch: int, batch_blocks: int) -> Iterator[Blocks]:
        """Yields the batches of an epoch, its blocks in random order; a seed and an epoch repeat."""
        for number in range(self.batches(batch_blocks)):
            yield self.batch(epoch, number, batch_blocks)

    def batch(self, epoch: int, number: int, batch_blocks: int) -> Blocks:
        """One of an epoch's batches, whichever were asked for before."""
        if self._drawn is None or self._drawn.epoch != epoch:
            self._drawn = self._draw(epoch)
        count = self.batches(batch_blocks)
        order = self._drawn.order
        own = order[number::count] if len(order) >= count else np.append(order, np.arange(len(order), count))[[number]]
        return self._cut(self._drawn, own * BLOCK, np.random.default_rng([self.seed, epoch, number]))

    def _draw(self, epoch: int) -> "_Epoch":
        random = np.random.default_rng([self.seed, epoch])
        kept = random.random(len(self.words)) < self._keep[self.words]
        kept[0] |= not kept.any()
        words, text_of = self.words[kept], self._text_of[kept]
        low, high = self._reach(text_of, random)
        return _Epoch(epoch, words, low, high, random.permutation(-(-len(words) // BLOCK)))

    def _reach(
        self, text_of: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last place of each word's window, within its text."""
        places, width = np.arange(len(text_of)), random.integers(1, self.window + 1, len(text_of))
        first = np.searchsorted(text_of, text_of, side="left")
        last = np.searchsorted(text_of, text_of, side="right") - 1
        return np.maximum(places - width, first), np.minimum(places + width, last)

    def _cut(self, drawn: "_Epoch", starts: NDArray[np.int64], random: np.random.Generator) -> Blocks:
        words, low, high = drawn.words, drawn.low, drawn.high
        centres = starts[:, None] + np.arange(BLOCK)
        contexts = starts[:, None] + np.arange(-self.window, BLOCK + self.window)
        inside = np.minimum(centres, len(words) - 1)
        own_low = np.where(centres < len(words), low[inside], len(words) + BLOCK + self.window) - starts[:, None]
        own_high = high[inside] - starts[:, None]
        around = np.arange(-self.window, BLOCK + self.window, dtype=np.int16)
        near = (around >= own_low.astype(np.int16)[..., None]) & (around <= own_high.astype(np.int16)[..., None])
        near &= around != np.arange(BLOCK, dtype=np.int16)[:, None]
        against = random.random((len(starts), NEGATIVES_SHARED)) * self._cumulative[-1]
        return Blocks(
            torch.from_numpy(words[inside]),
            torch.from_numpy(words[np.clip(contexts, 0, len(words) - 1)]),
            torch.from_numpy(near).float(),
            torch.from_numpy(np.searchsorted(self._cumulative, against, side="right")),
        )


def keep_probabilities(counts: NDArray[np.int64], sample: float) -> NDArray[np.float64]:
    """(V,) how likely an occurrence of each word stays: min(1, √(t/f) + t/f)."""
    if not sample:
        return np.ones(len(counts))
    with np.errstate(divide="ignore"):
        ratio = sample * counts.sum() / counts
    return np.minimum(np.sqrt(ratio) + ratio, 1.0)
