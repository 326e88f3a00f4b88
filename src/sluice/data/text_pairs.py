"""Labelled pairs of texts as ragged arrays, prepared once; every word comes with its letters."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Stored
from sluice.data.fingerprints import Fingerprint, Sources
from sluice.data.identity import DataIdentity
from sluice.data.preparing import load_or_prepare
from sluice.data.ragged import Ragged
from sluice.data.sources import SPLITS
from sluice.data.split_hashes import Hashes, SplitHashes, hashes_of
from sluice.data.splits import assign_splits, same_rows
from sluice.text.char_ngrams import hashed_ngrams
from sluice.text.tokenizers import make_tokenizer

NO_WORDS = ("", " ")
"""What stands first in a table of words and is none: that of a text without a word, and the padding."""


class TextPair(NamedTuple):
    """Two texts and what they are to each other."""

    first: str
    second: str
    label: int
    """Place in the corpus's `labels`."""
    deciding: tuple[str, ...] = ()
    """Words of either text that settle the class, where the corpus knows them."""


class PairCorpus(Protocol):
    """Labelled pairs, wherever they lie."""

    @property
    def name(self) -> str:
        """What results.json calls it: "generated" or "file"."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; the position is the class id."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits it has pairs for; "train" is one of them."""

    @property
    def knows_deciding(self) -> bool:
        """Whether its pairs come with their deciding words."""

    @property
    def sources(self) -> Sources:
        """Everything that the texts depend on: the files, or the generator and its settings."""

    @property
    def description(self) -> str:
        """Where the pairs come from, for people."""

    def pairs(self, split: str) -> Iterator[TextPair]:
        """Yields every pair of a split; raises UserError when something cannot be read."""


@dataclass(frozen=True)
class LetterSettings:
    """How a text becomes words and a word its letters."""

    tokenizer: str = "words"
    longest_ngram: int = 3
    buckets: int = 20_000


@dataclass(frozen=True)
class TextPairSplit:
    """The pairs of one split."""

    texts: Ragged
    """(2 N) texts in places of the table of words: all first ones, then all second ones."""
    deciding: Ragged
    """The same with 1 for a deciding word and 0 for every other."""
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """(2 B,) places of the texts of some pairs, first ones before second ones."""
        return np.concatenate([index, index + len(self)])

    def kept_lengths(self, max_length: int) -> NDArray[np.int64]:
        """(N,) words of each pair's longer text once truncated."""
        return np.minimum(self.texts.lengths.reshape(2, -1).max(0), max_length)

    def chosen(self, index: NDArray[np.int64]) -> "TextPairSplit":
        """Some of the pairs, in the order given."""
        rows = self.rows(index)
        return TextPairSplit(self.texts.rows(rows), self.deciding.rows(rows), self.labels[index])


@dataclass(frozen=True)
class PreparedTextPairs:
    """Pairs ready for training."""

    splits: dict[str, TextPairSplit]
    words: list[str]
    """Every word of any split, as it is written: a table for reading, not a vocabulary."""
    ngrams: Ragged
    """Each word's n-grams."""
    labels: tuple[str, ...]
    identity: DataIdentity


def prepare_text_pairs(
    corpus: PairCorpus, settings: LetterSettings, shares: dict[str, float], cache_dir: Path
) -> PreparedTextPairs:
    """Opens the prepared pairs, preparing and storing them on first use.

    Args:
        corpus: where the pairs come from.
        settings: how they become words and letters.
        shares: what "test" and "val" are of the training pairs, where the corpus has none of its own.
        cache_dir: where the arrays are kept.

    Raises:
        UserError: whatever the corpus says is wrong with it, or a cache that can't be written.
    """
    key = {"labels": corpus.labels, "shares": shares, **vars(settings)}
    return _opened(*load_or_prepare("text-pairs", corpus, key, cache_dir, lambda: _stored(corpus, settings, shares)))


def read_pairs(corpus: PairCorpus) -> tuple[list[TextPair], NDArray[np.str_]]:
    """All pairs of a corpus, and the split that it gives each."""
    read = [(split, pair) for split in corpus.splits for pair in corpus.pairs(split)]
    return [pair for _, pair in read], np.asarray([split for split, _ in read], dtype=np.str_)


def pair_hashes(pairs: Iterable[TextPair]) -> Hashes:
    """(N,) the hash of each pair's two texts."""
    return hashes_of((pair.first, pair.second) for pair in pairs)


def encode_text_pairs(pairs: Iterable[TextPair], tokenizer: str, table: dict[str, int]) -> TextPairSplit:
    """Pairs in places of the table of words, which takes up those it lacks."""
    tokenize = make_tokenizer(tokenizer)
    texts: tuple[list[list[int]], list[list[int]]] = ([], [])
    deciding: tuple[list[list[int]], list[list[int]]] = ([], [])
    labels: list[int] = []
    for pair in pairs:
        labels.append(pair.label)
        telling = {token for word in pair.deciding for token in tokenize(word)}
        for side, text in enumerate((pair.first, pair.second)):
            tokens = tokenize(text) or [NO_WORDS[0]]
            texts[side].append([table.setdefault(token, len(table)) for token in tokens])
            deciding[side].append([int(token in telling) for token in tokens])
    return TextPairSplit(_ragged(chain(*texts)), _ragged(chain(*deciding)), np.asarray(labels, dtype=np.int64))


def new_table() -> dict[str, int]:
    """A table without a word."""
    return {word: place for place, word in enumerate(NO_WORDS)}


def letters_of(words: Sequence[str], settings: LetterSettings) -> Ragged:
    """The n-grams of each word of a table."""
    options = {"longest": settings.longest_ngram, "buckets": settings.buckets}
    return _ragged([] if word in NO_WORDS else hashed_ngrams(word, **options) for word in words)


def _stored(corpus: PairCorpus, settings: LetterSettings, shares: dict[str, float]) -> Stored:
    table = new_table()
    pairs, given = read_pairs(corpus)
    whole, hashes = encode_text_pairs(pairs, settings.tokenizer, table), pair_hashes(pairs)
    options: dict[str, Any] = {"labels": whole.labels, "names": corpus.labels, "fractions": shares}
    rows = assign_splits(given, texts=hashes, **options)
    as_earlier = same_rows(rows, lambda: assign_splits(given, texts=None, **options))
    ngrams = letters_of(list(table), settings)
    arrays: dict[str, NDArray[Any]] = {"ngrams": ngrams.flat, "ngram_offsets": ngrams.offsets}
    for name in SPLITS:
        split = whole.chosen(rows[name])
        arrays |= {f"{name}_hashes": hashes[rows[name]]}
        arrays |= {f"{name}_words": split.texts.flat, f"{name}_offsets": split.texts.offsets}
        arrays |= {f"{name}_deciding": split.deciding.flat, f"{name}_labels": split.labels}
    info = {"words": list(table), "labels": list(corpus.labels), "split_as_earlier": as_earlier}
    return Stored(arrays, info)


def _opened(stored: Stored, fingerprint: Fingerprint) -> PreparedTextPairs:
    arrays = stored.arrays
    splits = {
        name: TextPairSplit(
            Ragged(arrays[f"{name}_words"], arrays[f"{name}_offsets"]),
            Ragged(arrays[f"{name}_deciding"], arrays[f"{name}_offsets"]),
            arrays[f"{name}_labels"],
        )
        for name in SPLITS
    }
    ngrams = Ragged(arrays["ngrams"], arrays["ngram_offsets"])
    hashes = SplitHashes.stored(arrays)
    identity = DataIdentity(fingerprint, hashes=hashes, split_as_earlier=stored.info["split_as_earlier"])
    return PreparedTextPairs(splits, stored.info["words"], ngrams, tuple(stored.info["labels"]), identity)


def _ragged(rows: Iterable[list[int]]) -> Ragged:
    kept = list(rows)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in kept], dtype=np.int64)]).astype(np.int64)
    return Ragged(np.fromiter(chain.from_iterable(kept), dtype=np.int32, count=int(offsets[-1])), offsets)
