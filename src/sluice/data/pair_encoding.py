"""Text pairs as indices into a table of words, and the character n-grams of each word."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from sluice.data.corpus import TextPair
from sluice.data.ragged import Ragged, TextPairSplit
from sluice.text.char_ngrams import hashed_ngrams
from sluice.text.tokenization import Tokenization
from sluice.text.tokenizers import Tokenizer

NO_WORDS = ("", " ")
"""First entries of a table of words: the word of an empty text, and the padding."""


@dataclass(frozen=True)
class CharNgramSettings:
    """Settings of tokenisation and hashed character n-grams."""

    tokens: Tokenization = Tokenization(tokenizer="words")
    max_ngram: int = 3
    buckets: int = 20_000


def encode_text_pairs(pairs: Iterable[TextPair], tokenize: Tokenizer, table: dict[str, int]) -> TextPairSplit:
    """Encodes pairs as indices into a table of words.

    Args:
        pairs: the pairs.
        tokenize: splits a text into tokens.
        table: index of each word; new words are added.
    """
    texts: tuple[list[list[int]], list[list[int]]] = ([], [])
    deciding: tuple[list[list[int]], list[list[int]]] = ([], [])
    labels: list[int] = []
    for pair in pairs:
        labels.append(pair.label)
        deciding_tokens = {token for word in pair.deciding for token in tokenize(word)}
        for side, text in enumerate((pair.first, pair.second)):
            tokens = tokenize(text) or [NO_WORDS[0]]
            texts[side].append([table.setdefault(token, len(table)) for token in tokens])
            deciding[side].append([int(token in deciding_tokens) for token in tokens])
    return TextPairSplit(
        Ragged.from_rows(chain(*texts)), Ragged.from_rows(chain(*deciding)), np.asarray(labels, dtype=np.int64)
    )


def new_table() -> dict[str, int]:
    """Returns a table of words with the entries of `NO_WORDS` only."""
    return {word: index for index, word in enumerate(NO_WORDS)}


def word_ngrams(words: Sequence[str], settings: CharNgramSettings) -> Ragged:
    """Returns the character n-gram ids of each word of a table."""
    options = {"max_n": settings.max_ngram, "buckets": settings.buckets}
    return Ragged.from_rows([] if word in NO_WORDS else hashed_ngrams(word, **options) for word in words)
