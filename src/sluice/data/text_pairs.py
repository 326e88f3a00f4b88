"""Labelled pairs of texts: as ragged arrays with the letters of every word, prepared once, and their DataModule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.cache import Arrays, Stored, load_or_prepare
from sluice.data.collate import TextPairBatch, TextPairBatchMaker
from sluice.data.corpus import SPLITS, PairCorpus, TextPair
from sluice.data.datamodule import BucketedData
from sluice.data.identity import DataIdentity, Hashes, hashes_of
from sluice.data.ragged import Ragged, TextPairSplit
from sluice.data.splits import assign_splits, same_rows
from sluice.text.char_ngrams import hashed_ngrams
from sluice.text.tokenizers import make_tokenizer

NO_WORDS = ("", " ")
"""What stands first in a table of words and is none: that of a text without a word, and the padding."""


@dataclass(frozen=True)
class LetterSettings:
    """How a text becomes words and a word its letters."""

    tokenizer: str = "words"
    max_ngram: int = 3
    buckets: int = 20_000


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
    prepared = load_or_prepare("text-pairs", corpus, key, cache_dir, lambda: _stored(corpus, settings, shares))
    splits = {
        name: TextPairSplit(
            prepared.ragged(f"{name}_words", f"{name}_offsets"),
            prepared.ragged(f"{name}_deciding", f"{name}_offsets"),
            prepared.array(f"{name}_labels"),
        )
        for name in SPLITS
    }
    ngrams, info = prepared.ragged("ngrams", "ngram_offsets"), prepared.info
    return PreparedTextPairs(splits, info["words"], ngrams, tuple(info["labels"]), prepared.identity)


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
    return TextPairSplit(
        Ragged.from_rows(chain(*texts)), Ragged.from_rows(chain(*deciding)), np.asarray(labels, dtype=np.int64)
    )


def new_table() -> dict[str, int]:
    """A table without a word."""
    return {word: place for place, word in enumerate(NO_WORDS)}


def letters_of(words: Sequence[str], settings: LetterSettings) -> Ragged:
    """The n-grams of each word of a table."""
    options = {"longest": settings.max_ngram, "buckets": settings.buckets}
    return Ragged.from_rows([] if word in NO_WORDS else hashed_ngrams(word, **options) for word in words)


def _stored(corpus: PairCorpus, settings: LetterSettings, shares: dict[str, float]) -> Stored:
    table = new_table()
    pairs, given = read_pairs(corpus)
    whole, hashes = encode_text_pairs(pairs, settings.tokenizer, table), pair_hashes(pairs)
    assign = partial(assign_splits, given, labels=whole.labels, names=corpus.labels, fractions=shares)
    rows = assign(texts=hashes)
    as_earlier = same_rows(rows, lambda: assign(texts=None))
    ngrams = letters_of(list(table), settings)
    arrays: Arrays = {"ngrams": ngrams.flat, "ngram_offsets": ngrams.offsets}
    for name in SPLITS:
        split = whole.chosen(rows[name])
        arrays |= {f"{name}_hashes": hashes[rows[name]]}
        arrays |= {f"{name}_words": split.texts.flat, f"{name}_offsets": split.texts.offsets}
        arrays |= {f"{name}_deciding": split.deciding.flat, f"{name}_labels": split.labels}
    info = {"words": list(table), "labels": list(corpus.labels), "split_as_earlier": as_earlier}
    return Stored(arrays, info)


class TextPairData(BucketedData[TextPairBatch]):
    """Pairs in batches whose longer texts are of like length; prepared once, then read from disk."""

    items = "pairs"

    def __init__(
        self,
        *,
        corpus: PairCorpus,
        settings: LetterSettings,
        cache_dir: Path,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        batch_size: int = 64,
        max_length: int = 100,
        truncation: str = "head_tail",
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: where the pairs come from.
            settings: how they become words and letters.
            cache_dir: where the prepared arrays are kept.
            validation_fraction: of each class, where the corpus has no validation pairs.
            test_fraction: of each class, where the corpus has no test pairs.
            batch_size: pairs in a training batch on one rank; evaluation takes four times as many.
            max_length: most words kept of a text.
            truncation: "head", "tail" or "head_tail".
            num_workers: loader processes.
            seed: of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.shares = {"test": test_fraction, "val": validation_fraction}
        self.max_length, self.truncation = max_length, truncation

    @cached_property
    def prepared(self) -> PreparedTextPairs:
        """The arrays, the table of words and the labels; prepared on first use."""
        return prepare_text_pairs(self.corpus, self.settings, self.shares, self.cache_dir)

    def text_of(self, split: str, index: int) -> str:
        """The words of a pair, both texts."""
        texts, words = self.prepared.splits[split].texts, self.prepared.words
        rows = (index, index + len(self.prepared.splits[split]))
        return " | ".join(" ".join(words[place] for place in texts[row]) for row in rows)

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextPairBatch]:
        """A split in batches, with its deciding words unless it is shuffled; this process's share.

        Raises:
            UserError: if there are too few pairs for all processes.
        """
        split = self.prepared.splits[name]
        make = TextPairBatchMaker(
            split,
            self.prepared.ngrams,
            max_length=self.max_length,
            truncation=self.truncation,
            with_deciding=not shuffle and self.corpus.has_deciding_words,
        )
        return self.bucketed(name, split.kept_lengths(self.max_length), make, shuffle=shuffle)
