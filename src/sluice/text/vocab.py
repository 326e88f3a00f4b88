"""Vocabularies."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sluice.errors import UserError

log = logging.getLogger(__name__)

UNKNOWN, PADDING = "<unk>", "<pad>"
UNKNOWN_ID, PADDING_ID = 0, 1
SPECIALS = (UNKNOWN, PADDING)


class Vocab:
    """A mapping between tokens and ids: `<unk>`, `<pad>`, then words in order of decreasing frequency.

    Example:
        >>> vocab = Vocab.build(Counter("the film was the best film of the year".split()), min_freq=2)
        >>> vocab.tokens
        ['<unk>', '<pad>', 'the', 'film']
        >>> vocab.encode(["the", "best", "film"])
        [2, 0, 3]
        >>> vocab.decode([2, 0, 3])
        ['the', '<unk>', 'film']
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        """
        Args:
            tokens: tokens by id, starting with `SPECIALS`.

        Raises:
            ValueError: if they do not start with `SPECIALS`, or a token is repeated.
        """
        if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary must start with {SPECIALS}, got {list(tokens[: len(SPECIALS)])}")
        self.tokens = list(tokens)
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise ValueError("the tokens of a vocabulary must be unique")
        self._ids[PADDING] = UNKNOWN_ID  # "<pad>" in a text is an unknown word

    @classmethod
    def build(cls, counts: Counter[str], *, min_freq: int = 1, max_size: int | None = None) -> "Vocab":
        """Builds a vocabulary from word counts.

        Args:
            counts: number of occurrences of each word.
            min_freq: minimum number of occurrences.
            max_size: maximum number of words, excluding specials; the most frequent are kept.

        Raises:
            UserError: if no word is left.
        """
        warn_of_whole_sentences(counts)
        from torchtext.vocab import Vocab as TorchtextVocab  # slow to import

        built = TorchtextVocab(counts, max_size=max_size, min_freq=min_freq, specials=list(SPECIALS))
        if len(built.itos) == len(SPECIALS):
            most = max(counts.values(), default=0)
            raise UserError(
                f"min_freq={min_freq} leaves no word in the vocabulary: the most frequent word of the "
                f"training texts occurs {most} times; reduce min_freq"
            )
        return cls(built.itos)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Returns the ids of tokens, `UNKNOWN_ID` for unknown ones."""
        return [self._ids.get(token, UNKNOWN_ID) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Returns the tokens of ids."""
        return [self.tokens[index] for index in ids]


_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese characters, which are written without spaces between words."""
MAX_WORD = 8
"""Average length above which tokens of these characters are sentences rather than words."""


def warn_of_whole_sentences(counts: Mapping[str, int]) -> None:
    """Warns if most of a text is in tokens of scripts without spaces that are much longer than words.

    Args:
        counts: number of occurrences of each token.
    """
    total = unspaced = squares = 0
    longest = ""
    for token, count in counts.items():
        size = len(token)
        total += count * size
        if _UNSPACED.search(token):
            unspaced += count * size
            squares += count * size * size
            longest = max(longest, token, key=len)
    if 2 * unspaced > total and squares > MAX_WORD * unspaced:
        log.warning(
            "Most tokens are whole sentences of a script without spaces, such as %r: set task.text.unit=chars, "
            "or separate the words by spaces.",
            longest[:20],
        )
