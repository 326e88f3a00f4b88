"""What a sentence is cut into, and how the cut is undone: words, subwords or characters."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from sluice.text.subwords import Subwords
from sluice.text.tokenizers import Tokenizer, make_tokenizer

UNITS = ("words", "subwords", "chars")
MOSES = "moses"
WORD_TOKENIZERS = (MOSES, "basic_english", "whitespace")


class Unit(Protocol):
    """Cuts sentences into tokens and puts tokens together again."""

    def split(self, text: str) -> list[str]:
        """The tokens of a sentence, as the vocabulary knows them."""

    def raw(self, text: str) -> list[str]:
        """The same tokens as they stand in the sentence: as many, not lower-cased."""

    def join(self, tokens: Sequence[str]) -> str:
        """The sentence of the tokens, for people."""


class Words:
    """Words and punctuation marks."""

    def __init__(self, *, language: str, tokenizer: str = MOSES, lowercase: bool = False) -> None:
        """
        Args:
            language: code of the language, for the tokenizer's abbreviations ("Dr.").
            tokenizer: "moses", or one of torchtext's.
            lowercase: whether the vocabulary knows lower-cased words only.

        Raises:
            ValueError: for a tokenizer that doesn't exist.
        """
        if tokenizer not in WORD_TOKENIZERS:
            raise ValueError(f"there is no tokenizer {tokenizer!r}; there are {', '.join(WORD_TOKENIZERS)}")
        self.language, self.tokenizer, self.lowercase = language, tokenizer, lowercase

    def split(self, text: str) -> list[str]:
        words = self.raw(text)
        return [word.lower() for word in words] if self.lowercase else words

    def raw(self, text: str) -> list[str]:
        return self._tokenize(text)

    def join(self, tokens: Sequence[str]) -> str:
        if self.tokenizer == "whitespace":
            return " ".join(tokens)
        from sluice.text.detokenizing import detokenize  # slow to import, and needed only where texts are written

        return detokenize(tokens)

    @cached_property
    def _tokenize(self) -> Tokenizer:
        if self.tokenizer != MOSES:
            return make_tokenizer(self.tokenizer)
        from sacremoses import MosesTokenizer  # slow to import

        moses = MosesTokenizer(self.language)
        return lambda text: moses.tokenize(text, escape=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_tokenize"}


class Pieces:
    """Learned subwords."""

    def __init__(self, subwords: Subwords, *, lowercase: bool = False) -> None:
        self.subwords, self.lowercase = subwords, lowercase

    def split(self, text: str) -> list[str]:
        return self.subwords.encode(text.lower() if self.lowercase else text)

    def raw(self, text: str) -> list[str]:
        return self.split(text)

    def join(self, tokens: Sequence[str]) -> str:
        return self.subwords.decode(tokens)


class Characters:
    """Characters, blanks among them."""

    def __init__(self, *, lowercase: bool = False) -> None:
        self.lowercase = lowercase

    def split(self, text: str) -> list[str]:
        return [character.lower() for character in text] if self.lowercase else list(text)

    def raw(self, text: str) -> list[str]:
        return list(text)

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)
