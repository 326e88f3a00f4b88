"""The DataModule of labelled text pairs, as ragged arrays with the character n-grams of every word."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from sluice.data.cache import Arrays, CacheEntry, bytes_of, load_or_prepare, text_of_bytes
from sluice.data.collate import TextPairBatch, TextPairCollator
from sluice.data.corpus import SPLITS, PairCorpus, TextPair
from sluice.data.datamodule import BucketedData
from sluice.data.identity import DataIdentity, Hashes, hashes_of
from sluice.data.pair_encoding import CharNgramSettings, encode_text_pairs, new_table, word_ngrams
from sluice.data.ragged import Ragged, TextPairSplit
from sluice.data.splits import assign_splits, same_rows
from sluice.text.vocab import warn_of_whole_sentences


@dataclass(frozen=True)
class PreparedTextPairs:
    """Text pairs ready for training."""

    splits: dict[str, TextPairSplit]
    words: list[str]
    """All distinct words of all splits, as written."""
    ngrams: Ragged
    """Character n-gram ids of each word."""
    labels: tuple[str, ...]
    identity: DataIdentity
    subword_model: bytes | None = None


def prepare_text_pairs(
    corpus: PairCorpus, settings: CharNgramSettings, fractions: dict[str, float], cache_dir: Path
) -> PreparedTextPairs:
    """Opens the prepared pairs; prepares and caches them on first use.

    Args:
        corpus: the labelled pairs.
        settings: tokenisation and character n-grams.
        fractions: fractions of "test" and "val" to hold out if the corpus has no such splits.
        cache_dir: folder for the prepared arrays.

    Raises:
        UserError: if the corpus cannot be read, or the cache cannot be written.
    """
    key = {"labels": corpus.labels, "shares": fractions, **asdict(settings)}
    prepared = load_or_prepare("text-pairs", corpus, key, cache_dir, lambda: _build_entry(corpus, settings, fractions))
    splits = {
        name: TextPairSplit(
            prepared.ragged(f"{name}_words", f"{name}_offsets"),
            prepared.ragged(f"{name}_deciding", f"{name}_offsets"),
            prepared.array(f"{name}_labels"),
        )
        for name in SPLITS
    }
    ngrams, info = prepared.ragged("ngrams", "ngram_offsets"), prepared.info
    model = bytes_of(info["subword_model"])
    return PreparedTextPairs(splits, info["words"], ngrams, tuple(info["labels"]), prepared.identity, model)


def read_pairs(corpus: PairCorpus) -> tuple[list[TextPair], NDArray[np.str_]]:
    """Returns all pairs of a corpus, and the (N,) split of each."""
    read = [(split, pair) for split in corpus.splits for pair in corpus.pairs(split)]
    return [pair for _, pair in read], np.asarray([split for split, _ in read], dtype=np.str_)


def pair_hashes(pairs: Iterable[TextPair]) -> Hashes:
    """Returns the (N,) hashes of the pairs."""
    return hashes_of((pair.first, pair.second) for pair in pairs)


def _build_entry(corpus: PairCorpus, settings: CharNgramSettings, fractions: dict[str, float]) -> CacheEntry:
    table = new_table()
    pairs, given = read_pairs(corpus)
    labels, hashes = np.asarray([pair.label for pair in pairs], dtype=np.int64), pair_hashes(pairs)
    assign = partial(assign_splits, given, labels=labels, names=corpus.labels, fractions=fractions)
    rows = assign(texts=hashes)
    model = settings.tokens.learn(text for row in rows["train"] for text in pairs[row][:2])
    encoded = encode_text_pairs(pairs, settings.tokens.make(model), table)
    warn_of_whole_sentences(dict.fromkeys(table, 1))
    matches_legacy_split = same_rows(rows, lambda: assign(texts=None))
    ngrams = word_ngrams(list(table), settings)
    arrays: Arrays = {"ngrams": ngrams.flat, "ngram_offsets": ngrams.offsets}
    for name in SPLITS:
        split = encoded.select(rows[name])
        arrays |= {f"{name}_hashes": hashes[rows[name]]}
        arrays |= {f"{name}_words": split.texts.flat, f"{name}_offsets": split.texts.offsets}
        arrays |= {f"{name}_deciding": split.deciding.flat, f"{name}_labels": split.labels}
    info = {"words": list(table), "labels": list(corpus.labels), "subword_model": text_of_bytes(model)}
    return CacheEntry(arrays, {**info, "split_as_earlier": matches_legacy_split})


class TextPairData(BucketedData[TextPairBatch]):
    """Labelled text pairs in batches of similar length; prepared once, then memory-mapped from the cache."""

    items = "pairs"

    def __init__(
        self,
        *,
        corpus: PairCorpus,
        settings: CharNgramSettings,
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
            corpus: the labelled pairs.
            settings: tokenisation and character n-grams.
            cache_dir: folder for the prepared arrays.
            validation_fraction: fraction of each class to hold out if the corpus has no validation pairs.
            test_fraction: fraction of each class to hold out if the corpus has no test pairs.
            batch_size: pairs per rank in a training batch; evaluation batches are four times larger, unless
                they would have more than 65,536 tokens.
            max_length: maximum number of words of a text; longer texts are truncated.
            truncation: "head", "tail" or "head_tail".
            num_workers: loader processes.
            seed: seed of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.fractions = {"test": test_fraction, "val": validation_fraction}
        self.max_length, self.truncation = max_length, truncation

    @cached_property
    def prepared(self) -> PreparedTextPairs:
        """The arrays, the words and the labels; prepared on first use."""
        return prepare_text_pairs(self.corpus, self.settings, self.fractions, self.cache_dir)

    def text_of(self, split: str, index: int) -> str:
        """Returns the words of both texts of a pair, separated by " | "."""
        texts, words = self.prepared.splits[split].texts, self.prepared.words
        rows = (index, index + len(self.prepared.splits[split]))
        return " | ".join(" ".join(words[i] for i in texts[row]) for row in rows)

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextPairBatch]:
        """Returns this rank's batches of a split; batches mark the deciding words unless shuffled.

        Raises:
            UserError: if there are fewer pairs than processes.
        """
        split = self.prepared.splits[name]
        collate = TextPairCollator(
            split,
            self.prepared.ngrams,
            max_length=self.max_length,
            truncation=self.truncation,
            with_deciding=not shuffle and self.corpus.has_deciding_words,
        )
        return self.bucketed(name, split.truncated_lengths(self.max_length), collate, shuffle=shuffle)
