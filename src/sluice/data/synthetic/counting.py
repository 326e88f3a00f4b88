"""The counting languages aⁿbⁿ and aⁿbⁿcⁿ."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.data.ragged import Ragged
from sluice.data.synthetic.base import check_at_least, check_memory, generator
from sluice.errors import UserError
from sluice.layers.output_loss import IGNORED

LANGUAGES = {"anbn": "ab", "anbncn": "abc"}
DEFAULT_MAX_N = {"anbn": 100, "anbncn": 50}
"""Default maximum n of training, from Weiss, Goldberg & Yahav (2018)."""
END = "$"
SYMBOLS = ("a", "b", "c", END)
HELD_OUT = 10
"""One in HELD_OUT values of n is used for validation."""


class NextSymbols(NamedTuple):
    """Strings and their next symbols, as indices into `SYMBOLS`."""

    ids: Ragged
    targets: Ragged
    """Next symbol at each step; the last one is the end symbol."""
    determined: Ragged
    """The same with IGNORED at every a, where the next symbol is not determined."""


class Counting:
    """Next-symbol prediction on aⁿbⁿ or aⁿbⁿcⁿ.

    Weiss, Goldberg & Yahav (2018), "On the practical computational power of finite precision RNNs for language
    recognition"; next symbols as targets after Gers & Schmidhuber (2001), "LSTM recurrent networks learn simple
    context-free and context-sensitive languages". From the first b, all symbols are determined by n.

    Example:
        >>> data = Counting(language="anbn", max_n=10, test_max_n=20, size=5)
        >>> string(data.language, 3)
        'aaabbb'
        >>> data.counts("test").tolist()
        [11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
        >>> data.strings("test").ids.lengths.tolist()
        [22, 24, 26, 28, 30, 32, 34, 36, 38, 40]
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
            max_n: maximum n of training and validation; None for 100 (anbn) or 50 (anbncn).
            test_max_n: maximum n of the test, which has every n above `max_n`.
            size: training strings, with random n.
            seed: seed of the n of validation and training.

        Raises:
            UserError: if the language is unknown, `max_n` is below 3, `test_max_n` is not above `max_n`, or
                `size` is below 1.
        """
        if language not in LANGUAGES:
            raise UserError(f"unknown language {language!r}: expected one of {', '.join(LANGUAGES)}")
        max_n = DEFAULT_MAX_N[language] if max_n is None else max_n
        check_at_least(3, max_n=max_n)
        check_at_least(max_n + 1, test_max_n=test_max_n)
        check_at_least(1, size=size)
        check_memory(32 * max_n, {"train": size}, max_n=max_n)
        check_memory(32 * test_max_n, {"test": test_max_n - max_n}, test_max_n=test_max_n)
        self.language, self.max_n, self.test_max_n = language, max_n, test_max_n
        self.size, self.seed = size, seed

    def counts(self, split: str) -> NDArray[np.int64]:
        """Returns the n of each string of a split. Splits have no n in common; training has 1 and `max_n`."""
        random = generator(self.seed, split)
        if split == "test":
            return np.arange(self.max_n + 1, self.test_max_n + 1)
        inner = generator(self.seed, "val").permutation(np.arange(2, self.max_n))
        held = np.sort(inner[: max(self.max_n // HELD_OUT, 1)])
        if split == "val":
            return held
        return random.choice(np.setdiff1d(np.arange(1, self.max_n + 1), held), self.size)

    def strings(self, split: str) -> NextSymbols:
        """Returns the strings of a split as ids."""
        return next_symbols(self.language, self.counts(split).tolist())


def string(language: str, n: int) -> str:
    """Returns the string of the language for n."""
    return "".join(symbol * n for symbol in LANGUAGES[language])


def next_symbols(language: str, counts: Sequence[int]) -> NextSymbols:
    """Returns the strings of the language for several n."""
    texts = [string(language, n) for n in counts]
    lengths = [len(text) for text in texts]
    ids = _ids("".join(texts))
    targets = _ids("".join(text[1:] + END for text in texts))
    determined = np.where(ids == SYMBOLS.index("a"), np.int32(IGNORED), targets)
    return NextSymbols(*(Ragged.from_lengths(flat, lengths) for flat in (ids, targets, determined)))


def first_failure(passes: Callable[[int], bool], max_n: int) -> int | None:
    """Returns the smallest n from 1 to `max_n` that fails, None if none does.

    Args:
        passes: returns whether every determined symbol of the string for n is predicted.
        max_n: maximum n.
    """
    return next((n for n in range(1, max_n + 1) if not passes(n)), None)


def _ids(text: str) -> NDArray[np.int32]:
    codes = np.zeros(128, dtype=np.int32)
    codes[[ord(symbol) for symbol in SYMBOLS]] = np.arange(len(SYMBOLS))
    return codes[np.frombuffer(text.encode("ascii"), dtype=np.uint8)]
