"""Strings of equally many a, b (and c): whoever writes one to its end must have counted."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.data.ragged import Ragged
from sluice.data.synthetic.base import check_at_least, generator
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED

LANGUAGES = {"anbn": "ab", "anbncn": "abc"}
DEFAULT_MAX_N = {"anbn": 100, "anbncn": 50}
"""n up to which Weiss, Goldberg & Yahav (2018) trained."""
END = "$"
SYMBOLS = ("a", "b", "c", END)
HELD_OUT = 10
"""Of so many n, one is kept for validation."""


class NextSymbols(NamedTuple):
    """Strings and at each step what comes next, in places of `SYMBOLS`."""

    ids: Ragged
    targets: Ragged
    """The symbol after each one, the end at last."""
    determined: Ragged
    """The same, IGNORED at every a: nobody can know how many will come."""


class Counting:
    """aⁿbⁿ or aⁿbⁿcⁿ, to be read symbol by symbol with the next one as target.

    Weiss, Goldberg & Yahav (2018), "On the practical computational power of finite precision RNNs for language
    recognition"; next symbols as targets after Gers & Schmidhuber (2001), "LSTM recurrent networks learn simple
    context-free and context-sensitive languages". From the first b on all is determined by n.
    """

    def __init__(
        self,
        *,
        language: str = "anbn",
        max_n: int | None = None,
        test_max_n: int = 1000,
        size: int = 1000,
        seed: int = 0,
    ) -> None:
        """
        Args:
            language: "anbn" or "anbncn".
            max_n: largest n of training and validation; None for 100 and 50.
            test_max_n: largest n of the test, which has every n above `max_n`.
            size: training strings, n drawn at random.
            seed: chooses the n kept for validation and draws those of training.

        Raises:
            UserError: the language doesn't exist, `max_n` is below 3, or there is no n to test.
        """
        if language not in LANGUAGES:
            raise UserError(f"there is no language {language!r}; there are {', '.join(LANGUAGES)}")
        max_n = DEFAULT_MAX_N[language] if max_n is None else max_n
        check_at_least(3, max_n=max_n)
        check_at_least(max_n + 1, test_max_n=test_max_n)
        check_at_least(1, size=size)
        self.language, self.max_n, self.test_max_n = language, max_n, test_max_n
        self.size, self.seed = size, seed

    def counts(self, split: str) -> NDArray[np.int64]:
        """The n of each string of a split; no n is in two, and the smallest and the largest are in training."""
        random = generator(self.seed, split)
        if split == "test":
            return np.arange(self.max_n + 1, self.test_max_n + 1)
        inner = generator(self.seed, "val").permutation(np.arange(2, self.max_n))
        held = np.sort(inner[: max(self.max_n // HELD_OUT, 1)])
        if split == "val":
            return held
        return random.choice(np.setdiff1d(np.arange(1, self.max_n + 1), held), self.size)

    def strings(self, split: str) -> NextSymbols:
        """The strings of a split in ids."""
        return next_symbols(self.language, self.counts(split).tolist())


def string(language: str, n: int) -> str:
    """The string of the language for n."""
    return "".join(symbol * n for symbol in LANGUAGES[language])


def next_symbols(language: str, counts: Sequence[int]) -> NextSymbols:
    """The strings of the language for several n."""
    texts = [string(language, n) for n in counts]
    lengths = [len(text) for text in texts]
    ids = _ids("".join(texts))
    targets = _ids("".join(text[1:] + END for text in texts))
    determined = np.where(ids == SYMBOLS.index("a"), np.int32(IGNORED), targets)
    return NextSymbols(*(Ragged.from_lengths(flat, lengths) for flat in (ids, targets, determined)))


def first_failure(passes: Callable[[int], bool], max_n: int) -> int | None:
    """The smallest n from 1 to `max_n` that fails; None if none does.

    Args:
        passes: whether every determined symbol of the string for n is predicted.
        max_n: where the search ends.
    """
    return next((n for n in range(1, max_n + 1) if not passes(n)), None)


def _ids(text: str) -> NDArray[np.int32]:
    codes = np.zeros(128, dtype=np.int32)
    codes[[ord(symbol) for symbol in SYMBOLS]] = np.arange(len(SYMBOLS))
    return codes[np.frombuffer(text.encode("ascii"), dtype=np.uint8)]
