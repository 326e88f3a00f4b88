"""A vocabulary of sentences: words, and where a sentence begins and ends."""

from collections import Counter
from collections.abc import Sequence

from sluice.text.vocab import SPECIALS, UNKNOWN_ID, Vocab

BEGIN, END = "<bos>", "<eos>"
BEGIN_ID, END_ID = 2, 3
MARKS = (BEGIN, END)


class SentenceVocab(Vocab):
    """A Vocab whose first words after the specials are a sentence's begin and end."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """
        Args:
            tokens: every word, the position is the id; begins with the specials and `MARKS`.

        Raises:
            ValueError: if these do not come first or a word stands twice.
        """
        super().__init__(tokens)
        marks = tuple(tokens[len(SPECIALS) : len(SPECIALS) + len(MARKS)])
        if marks != MARKS:
            raise ValueError(f"a vocabulary of sentences goes on with {MARKS}, got {marks}")
        for mark in MARKS:
            self._ids[mark] = UNKNOWN_ID  # a text that spells a mark's name means no mark

    @classmethod
    def build(cls, counts: Counter[str], *, min_freq: int = 1, max_size: int | None = None) -> "SentenceVocab":
        """The words seen at least `min_freq` times, the `max_size` most frequent (specials and marks not counted).

        Raises:
            UserError: if no word is left.
        """
        words = Counter({word: count for word, count in counts.items() if word not in MARKS})
        built = Vocab.build(words, min_freq=min_freq, max_size=max_size)
        return cls([*SPECIALS, *MARKS, *built.tokens[len(SPECIALS) :]])
