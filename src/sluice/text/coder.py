"""Encoding and decoding of sentences, in a form that can be stored in checkpoints."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sluice.options import UNITS
from sluice.plain import Plain
from sluice.text.tokenizers import given_tokenizer
from sluice.text.units import CharUnit, SubwordModel, SubwordUnit, Unit, WordUnit
from sluice.text.vocab import SPECIALS, UNKNOWN_ID, Vocab

BOS, EOS = "<bos>", "<eos>"
BOS_ID, EOS_ID = 2, 3
MARKS = (BOS, EOS)


class SentenceVocab(Vocab):
    """A Vocab whose first tokens after the specials are BOS and EOS."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """
        Args:
            tokens: tokens by id, starting with `SPECIALS` and `MARKS`.

        Raises:
            ValueError: if they do not start with these, or a token is repeated.
        """
        super().__init__(tokens)
        marks = tuple(tokens[len(SPECIALS) : len(SPECIALS) + len(MARKS)])
        if marks != MARKS:
            raise ValueError(f"expected {MARKS} after the special tokens of a sentence vocabulary, got {marks}")
        for mark in MARKS:
            self._ids[mark] = UNKNOWN_ID  # "<bos>" and "<eos>" in a text are unknown words

    @classmethod
    def build(cls, counts: Counter[str], *, min_freq: int = 1, max_size: int | None = None) -> "SentenceVocab":
        """Builds a vocabulary from word counts.

        Args:
            counts: number of occurrences of each word.
            min_freq: minimum number of occurrences.
            max_size: maximum number of words, excluding specials and marks; the most frequent are kept.

        Raises:
            UserError: if no word is left.
        """
        words = Counter({word: count for word, count in counts.items() if word not in MARKS})
        built = Vocab.build(words, min_freq=min_freq, max_size=max_size)
        return cls([*SPECIALS, *MARKS, *built.tokens[len(SPECIALS) :]])

    @classmethod
    def of_subwords(cls, subwords: SubwordModel) -> "SentenceVocab":
        """Returns the vocabulary of all pieces of a lossless model, so that no text has unknown tokens."""
        return cls([*SPECIALS, *MARKS, *subwords.pieces])


def make_unit(unit: str, *, language: str, tokenizer: str, lowercase: bool, subwords: bytes | None) -> Unit:
    """Builds a unit by name.

    Args:
        unit: "words", "subwords" or "chars".
        language: language code, such as "en".
        tokenizer: name of the tokenizer, for the unit "words".
        lowercase: whether to lower-case the text.
        subwords: serialised SubwordModel, for the unit "subwords".

    Raises:
        ValueError: for an unknown unit or tokenizer.
    """
    if unit == "words":
        return WordUnit(language=language, tokenizer=tokenizer, lowercase=lowercase)
    if unit == "subwords":
        assert subwords is not None
        return SubwordUnit(SubwordModel(subwords), lowercase=lowercase)
    if unit == "chars":
        return CharUnit(lowercase=lowercase)
    raise ValueError(f"unknown unit {unit!r}: expected one of {', '.join(UNITS)}")


class SentenceCoder:
    """Encodes and decodes the sentences of one language.

    Example:
        >>> vocab = SentenceVocab.build(Counter(["the", "film", ",", "dull", "."]))
        >>> coder = SentenceCoder(vocab=vocab, unit="words", language="en", lowercase=True)
        >>> ids = coder.encode("The dull, dull film.")
        >>> coder.tokens(ids)
        ['the', 'dull', ',', 'dull', 'film', '.']
        >>> coder.text(coder.tokens(ids))
        'the dull, dull film.'
    """

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
            vocab: the vocabulary.
            unit: "words", "subwords" or "chars".
            language: language code, such as "en".
            tokenizer: name of the tokenizer, for the unit "words".
            lowercase: whether to lower-case the text.
            subwords: serialised SubwordModel, for the unit "subwords".
        """
        self.vocab, self.language = vocab, language
        self._saved = {"unit": unit, "language": language, "tokenizer": tokenizer, "lowercase": lowercase}
        self._subwords = subwords
        self.unit = make_unit(unit, language=language, tokenizer=tokenizer, lowercase=lowercase, subwords=subwords)

    @classmethod
    def from_saved(cls, saved: Plain) -> "SentenceCoder":
        """Builds a coder from the result of `saved`."""
        return cls(**{**saved, "vocab": SentenceVocab(saved["vocab"])})

    def saved(self) -> Plain:
        """Returns plain containers from which `from_saved` builds an equal coder."""
        return {**self._saved, "subwords": self._subwords, "vocab": self.vocab.tokens}

    def for_given(self, tokenized: bool | None) -> "SentenceCoder":
        """Returns the coder of the sentences given to a trained model, see `given_tokenizer`."""
        if tokenized is None:
            return self
        saved = self.saved()
        tokenizer = given_tokenizer(saved["unit"], saved["tokenizer"], tokenized)
        lowercase = saved["lowercase"] or saved["tokenizer"] == "basic_english"
        return SentenceCoder.from_saved({**saved, "tokenizer": tokenizer, "lowercase": lowercase})

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of a sentence, without BOS and EOS."""
        return self.vocab.encode(self.unit.split(text))

    def source_ids(self, text: str, max_length: int | None = None) -> list[int]:
        """Returns the input of an encoder: the first `max_length` token ids (None for all) and EOS."""
        return [*self.encode(text)[:max_length], EOS_ID]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Returns the tokens of ids without BOS and EOS."""
        return self.vocab.decode(ids)

    def text(self, tokens: Sequence[str]) -> str:
        """Joins tokens to a sentence."""
        return self.unit.join(tokens)
