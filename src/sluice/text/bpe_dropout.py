"""BPE-dropout: random segmentations of the training texts."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from sluice.text.coder import MARKS
from sluice.text.units import SPACE, is_byte
from sluice.text.vocab import SPECIALS


class BPEDropout:
    """Segments words again, leaving out merges at random.

    BPE-dropout of Provilkov, Emelianenko & Voita (2020), arXiv 1910.13267: byte-pair encoding in which each possible
    merge is left out with some probability, anew at each step. A network then sees several segmentations of a word.

    Example:
        >>> tokens = ["<unk>", "▁t", "he", "▁the", "▁", "t", "h", "e"]
        >>> BPEDropout(tokens, 0.0).segment([3, 1], random.Random(0))
        [3, 1]
        >>> BPEDropout(tokens, 1.0).segment([3, 1], random.Random(0))  # "▁", "t", "h", "e", "▁", "t"
        [4, 5, 6, 7, 4, 5]
    """

    def __init__(self, tokens: Sequence[str], probability: float) -> None:
        """
        Args:
            tokens: pieces by id, earlier merges first; other tokens may be among them.
            probability: probability of leaving out a merge, in [0, 1].
        """
        self._tokens, self._probability = tokens, probability
        self._ids = {token: index for index, token in enumerate(tokens)}
        self._marks = {self._ids[mark] for mark in (*SPECIALS, *MARKS) if mark in self._ids}
        self._whole = self._marks | {index for index, token in enumerate(tokens) if is_byte(token)}

    def segment(self, ids: Iterable[int], source: random.Random) -> list[int]:
        """Returns the ids of another segmentation of a text; words with bytes or special tokens stay as they are.

        Args:
            ids: the pieces.
            source: random numbers.
        """
        return [piece for word in self._words(ids) for piece in self._segment_word(word, source)]

    def _words(self, ids: Iterable[int]) -> Iterator[list[int]]:
        word: list[int] = []
        for index in ids:
            if word and (self._tokens[index].startswith(SPACE) or not self._marks.isdisjoint((index, word[-1]))):
                yield word
                word = []
            word.append(index)
        if word:
            yield word

    def _segment_word(self, word: list[int], source: random.Random) -> list[int]:
        known, probability = self._ids, self._probability
        symbols = list("".join(self._tokens[index] for index in word))
        if not self._whole.isdisjoint(word) or any(symbol not in known for symbol in symbols):
            return word
        while True:
            merges = [
                (known[left + right], at)
                for at, (left, right) in enumerate(pairwise(symbols))
                if left + right in known and source.random() >= probability
            ]
            if not merges:
                return [known[symbol] for symbol in symbols]
            merged, at = min(merges)
            symbols[at : at + 2] = [self._tokens[merged]]
