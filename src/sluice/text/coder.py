"""A vocabulary of sentences, and one language's way from sentences to ids and back, fit for a checkpoint."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sluice.options import UNITS
from sluice.plain import Plain
from sluice.text.units import CharUnit, SubwordModel, SubwordUnit, Unit, WordUnit
from sluice.text.vocab import SPECIALS, UNKNOWN_ID, Vocab

BOS, EOS = "<bos>", "<eos>"
BOS_ID, EOS_ID = 2, 3
MARKS = (BOS, EOS)


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


def make_unit(unit: str, *, language: str, tokenizer: str, lowercase: bool, subwords: bytes | None) -> Unit:
    """Builds a unit by name.

    Args:
        unit: "words", "subwords" or "chars".
        language: code of the language.
        tokenizer: of words.
        lowercase: whether only lower-cased text is known.
        subwords: the model of subwords, else None.

    Raises:
        ValueError: for a unit or tokenizer that doesn't exist.
    """
    if unit == "words":
        return WordUnit(language=language, tokenizer=tokenizer, lowercase=lowercase)
    if unit == "subwords":
        assert subwords is not None
        return SubwordUnit(SubwordModel(subwords), lowercase=lowercase)
    if unit == "chars":
        return CharUnit(lowercase=lowercase)
    raise ValueError(f"there is no unit {unit!r}; there are {', '.join(UNITS)}")


class SentenceCoder:
    """Sentences of one language to ids and back."""

    def __init__(
        self,
        *,
        vocab: SentenceVocab,
        unit: str,
        language: str,
        tokenizer: str = "moses",
        lowercase: bool = False,
        subwords: bytes | None = None,
    ) -> None:
        """
        Args:
            vocab: the tokens it knows.
            unit: "words", "subwords" or "chars".
            language: code of the language.
            tokenizer: of words.
            lowercase: whether only lower-cased text is known.
            subwords: the model of subwords, else None.
        """
        self.vocab, self.language = vocab, language
        self._saved = {"unit": unit, "language": language, "tokenizer": tokenizer, "lowercase": lowercase}
        self._subwords = subwords
        self.unit = make_unit(unit, language=language, tokenizer=tokenizer, lowercase=lowercase, subwords=subwords)

    @classmethod
    def from_saved(cls, saved: Plain) -> "SentenceCoder":
        """The coder that `saved` describes."""
        return cls(**{**saved, "vocab": SentenceVocab(saved["vocab"])})

    def saved(self) -> Plain:
        """Plain containers from which `from_saved` makes the same coder."""
        return {**self._saved, "subwords": self._subwords, "vocab": self.vocab.tokens}

    def encode(self, text: str) -> list[int]:
        """The sentence's ids, without marks of begin and end."""
        return self.vocab.encode(self.unit.split(text))

    def source_ids(self, text: str, max_length: int | None = None) -> list[int]:
        """What an encoder reads: the first `max_length` ids (None for all) and the mark of the end."""
        return [*self.encode(text)[:max_length], EOS_ID]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Tokens of ids without marks."""
        return self.vocab.decode(ids)

    def text(self, tokens: Sequence[str]) -> str:
        """The sentence of the tokens, for people."""
        return self.unit.join(tokens)
