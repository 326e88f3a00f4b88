"""The words a model knows, and their ids."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sluice.errors import UserError

UNKNOWN, PADDING = "<unk>", "<pad>"
UNKNOWN_ID, PADDING_ID = 0, 1
SPECIALS = (UNKNOWN, PADDING)


class Vocab:
    """Words by id: the unknown word, the padding, then words from the most frequent on."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """
        Args:
            tokens: every word, the position is the id; begins with `SPECIALS`.

        Raises:
            ValueError: if the specials do not come first or a word stands twice.
        """
        if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary begins with {SPECIALS}, got {list(tokens[: len(SPECIALS)])}")
        self.tokens = list(tokens)
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise ValueError("a word stands in the vocabulary twice")
        self._ids[PADDING] = UNKNOWN_ID  # a text that spells the padding's name means no padding

    @classmethod
    def build(cls, counts: Counter[str], *, min_freq: int = 1, max_size: int | None = None) -> "Vocab":
        """The words seen at least `min_freq` times, the `max_size` most frequent of them (specials not counted).

        Raises:
            UserError: if no word is left.
        """
        from torchtext.vocab import Vocab as TorchtextVocab  # slow to import, and needed only here

        built = TorchtextVocab(counts, max_size=max_size, min_freq=min_freq, specials=list(SPECIALS))
        if len(built.itos) == len(SPECIALS):
            most = max(counts.values(), default=0)
            raise UserError(
                f"task.text.min_freq={min_freq} leaves no word in the vocabulary: the most frequent word of the "
                f"training texts occurs {most} times; choose a smaller min_freq"
            )
        return cls(built.itos)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of the tokens; words the vocabulary doesn't have get `UNKNOWN_ID`."""
        return [self._ids.get(token, UNKNOWN_ID) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Tokens of the ids."""
        return [self.tokens[index] for index in ids]
