"""A toy model whose next word depends on all previous words, and all sentences it can generate."""

import math
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from sluice.decoding.steps import StepOutput

BEGIN, END, WORDS = 0, 1, 4
"""Of the four ids two are special, so that a sentence consists of the words 2 and 3."""


class ToyState(NamedTuple):
    """The sentence index and the words generated so far of each row."""

    sentences: Tensor
    written: Tensor

    def select(self, rows: Tensor) -> "ToyState":
        return ToyState(self.sentences[rows], self.written[rows])


class Toy:
    """Pseudo-random log-probabilities that depend only on the previous words of a row."""

    def __init__(self, seed: int, *, sharpness: float = 1.5) -> None:
        self.seed, self.sharpness = seed, sharpness
        self.rows: list[int] = []

    def start(self, sentences: int) -> ToyState:
        return ToyState(torch.arange(sentences), torch.zeros(sentences, 0, dtype=torch.int64))

    def __call__(self, words: Tensor, state: ToyState) -> StepOutput:
        self.rows.append(len(words))
        written = torch.cat([state.written, words.unsqueeze(1)], 1)
        gains = torch.stack([self.gains(s, w) for s, w in zip(state.sentences.tolist(), written.tolist(), strict=True)])
        index = torch.full((len(words), 2), float(written.shape[1]))
        return StepOutput(gains, ToyState(state.sentences, written), index)

    def gains(self, sentence: int, written: list[int]) -> Tensor:
        """(WORDS,) log-probabilities of the next word, which is never the begin id."""
        draw = torch.Generator().manual_seed(hash((self.seed, sentence, *written)) % 2**31)
        logits = self.sharpness * torch.randn(WORDS, generator=draw, dtype=torch.float64)
        logits[BEGIN] = -math.inf
        return logits.log_softmax(-1)

    def total(self, sentence: int, words: list[int]) -> float:
        """Log-probability of the words and the end."""
        whole = [BEGIN, *words, END]
        return sum(float(self.gains(sentence, whole[:n])[whole[n]]) for n in range(1, len(whole)))

    def every_sentence(self, max_length: int) -> list[list[int]]:
        """All sentences of up to `max_length` words."""
        return [list(words) for size in range(max_length + 1) for words in product((2, 3), repeat=size)]
