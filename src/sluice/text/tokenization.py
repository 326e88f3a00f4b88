"""How texts are split into tokens: the settings that classification and pairs share."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sluice.text.coder import make_unit
from sluice.text.tokenizers import Tokenizer, given_tokenizer
from sluice.text.units import SubwordModel

LINE_BREAK = re.compile(r"(?:<|&lt;)\s*/?\s*br\b[^<>&]*(?:>|&gt;)", re.IGNORECASE)
"""HTML line breaks: <br>, <br/>, <BR />, </br>, <br clear="all">, &lt;br&gt;."""


def normalize(text: str) -> str:
    """Normalises a text to Unicode NFC and replaces HTML line breaks by spaces.

    Example:
        >>> normalize("Fine.<BR/>Really<br >fine")
        'Fine. Really fine'
    """
    return unicodedata.normalize("NFC", LINE_BREAK.sub(" ", text))


@dataclass(frozen=True)
class Tokenization:
    """Settings of splitting texts into tokens."""

    unit: str = "words"
    """"words", "subwords" or "chars"."""
    tokenizer: str = "basic_english"
    """Tokenizer of words, see `sluice.text.units.WordUnit`."""
    lowercase: bool = False
    """Whether texts are lower-cased; "basic_english" always does."""
    normalize: bool = True
    """Whether texts are normalised, see `normalize`."""
    subwords: str = "bpe"
    """Algorithm that learns subwords: "bpe" or "unigram"."""
    subword_size: int = 8_000
    """Maximum number of subwords."""

    def given(self, tokenized: bool | None) -> "Tokenization":
        """Returns how the texts given to a trained model are split.

        Args:
            tokenized: see `given_tokenizer`.

        Raises:
            UserError: as `given_tokenizer`.
        """
        if tokenized is None:
            return self
        tokenizer = given_tokenizer(self.unit, self.tokenizer, tokenized)
        return replace(self, tokenizer=tokenizer, lowercase=self.lowercase or self.tokenizer == "basic_english")

    def learn(self, texts: Iterable[str]) -> bytes | None:
        """Learns the subwords of training texts; None for other units.

        Raises:
            UserError: as `SubwordModel.learn`.
        """
        if self.unit != "subwords":
            return None
        return SubwordModel.learn(map(self._prepared, texts), size=self.subword_size, kind=self.subwords).model

    def make(self, subword_model: bytes | None = None) -> Tokenizer:
        """Returns the function that splits a text into tokens.

        Args:
            subword_model: the result of `learn`.

        Raises:
            ValueError: for an unknown unit or tokenizer.
        """
        options = {"language": "en", "tokenizer": self.tokenizer, "lowercase": self.lowercase}
        unit = make_unit(self.unit, subwords=subword_model, **options)  # type: ignore[arg-type]
        return (lambda text: unit.split(normalize(text))) if self.normalize else unit.split

    def _prepared(self, text: str) -> str:
        text = normalize(text) if self.normalize else text
        return text.lower() if self.lowercase else text
