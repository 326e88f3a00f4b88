"""A labelled corpus as ragged arrays of ids, prepared once."""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Stored
from sluice.data.fingerprints import Fingerprint
from sluice.data.identity import DataIdentity
from sluice.data.preparing import load_or_prepare
from sluice.data.ragged import Ragged
from sluice.data.sources import SPLITS, Document, LabelledCorpus
from sluice.data.split_hashes import Hashes, SplitHashes, text_hash
from sluice.data.splits import assign_splits, same_rows
from sluice.data.watching import watched
from sluice.text.tokenizers import make_tokenizer
from sluice.text.vocab import UNKNOWN_ID, Vocab


@dataclass(frozen=True)
class TextSettings:
    """How texts become ids; with the corpus, all that the prepared arrays depend on."""

    tokenizer: str = "basic_english"
    min_freq: int = 1
    max_size: int | None = None
    validation_share: float = 0.1
    test_share: float = 0.1
    """Used only where the corpus has no test texts of its own."""

    @property
    def fractions(self) -> dict[str, float]:
        """Of each class, for the splits that have to be cut."""
        return {"test": self.test_share, "val": self.validation_share}


@dataclass(frozen=True)
class Split:
    """The texts and labels of one split."""

    texts: Ragged
    labels: NDArray[np.int64]

    def kept_lengths(self, max_length: int) -> NDArray[np.int64]:
        """(N,) tokens of each text once truncated."""
        return np.minimum(self.texts.lengths, max_length)


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus ready for training."""

    splits: dict[str, Split]
    vocab: Vocab
    labels: tuple[str, ...]
    identity: DataIdentity


def prepare_corpus(corpus: LabelledCorpus, settings: TextSettings, cache_dir: Path) -> PreparedCorpus:
    """Opens the prepared corpus, preparing and storing it on first use.

    Raises:
        UserError: whatever the corpus says is wrong with it, an empty vocabulary, or a cache that can't be written.
    """
    key = {"labels": corpus.labels, **vars(settings)}
    return _opened(*load_or_prepare("texts", corpus, key, cache_dir, lambda: _stored(corpus, settings)))


def encode_documents(documents: Iterable[Document], tokenizer: str, vocab: Vocab) -> Split:
    """Documents in the ids of a given vocabulary; nothing is stored."""
    read = _read(documents, tokenizer)
    return Split(_encoded(read, vocab), read.labels)


def assign_one_by_one(
    documents: Sequence[Document], settings: TextSettings, labels: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """The rows of each split as earlier versions cut them: identical texts were drawn one by one."""
    groups = _Groups()
    ids = np.asarray([groups.id_of(document) for document in documents], dtype=np.int64)
    return assign_splits(
        np.asarray([document.split for document in documents]),
        labels=np.asarray([document.label for document in documents], dtype=np.int64),
        names=labels,
        fractions=settings.fractions,
        texts=None,
        groups=ids,
    )


class _Groups:
    """Ids of the groups of documents; one without a group has an id of its own."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}
        self._sizes: Counter[str] = Counter()
        self.named = False
        """Whether any document has a group."""

    def id_of(self, document: Document) -> int:
        """The id of a document's group, by the order of first appearance in its split."""
        self.named |= bool(document.group)
        name = document.group or f"#{self._sizes[document.split]}"
        self._sizes[document.split] += 1
        return self._ids.setdefault((document.split, name), len(self._ids))


@dataclass
class _Read:
    """A corpus as it was read, in provisional ids."""

    words: list[str]
    """By provisional id."""
    texts: Ragged
    labels: NDArray[np.int64]
    given: NDArray[np.str_]
    """(N,) the split that the corpus gives each text."""
    hashes: Hashes
    groups: NDArray[np.int64] | None
    """(N,) group ids, None where no document has a group."""


def _stored(corpus: LabelledCorpus, settings: TextSettings) -> Stored:
    read = _read(watched(corpus.documents(), "Preparing texts (once)"), settings.tokenizer)
    options: dict[str, Any] = {"labels": read.labels, "names": corpus.labels, "fractions": settings.fractions}
    rows = assign_splits(read.given, texts=read.hashes, groups=read.groups, **options)
    as_earlier = same_rows(rows, lambda: assign_splits(read.given, texts=None, groups=read.groups, **options))
    counts = np.bincount(read.texts.rows(rows["train"]).flat, minlength=len(read.words))
    vocab = Vocab.build(
        Counter({word: int(count) for word, count in zip(read.words, counts, strict=True) if count and word}),
        min_freq=settings.min_freq,
        max_size=settings.max_size,
    )
    encoded = _encoded(read, vocab)
    arrays: dict[str, NDArray[Any]] = {}
    for name in SPLITS:
        texts = encoded.rows(rows[name])
        arrays |= {f"{name}_ids": texts.flat, f"{name}_offsets": texts.offsets}
        arrays |= {f"{name}_labels": read.labels[rows[name]], f"{name}_hashes": read.hashes[rows[name]]}
    info = {"vocab": vocab.tokens, "labels": list(corpus.labels), "split_as_earlier": as_earlier}
    return Stored(arrays, info)


def _read(documents: Iterable[Document], tokenizer: str) -> _Read:
    """Texts in provisional ids, in the order read; a text without a token gets one unknown word."""
    tokenize = make_tokenizer(tokenizer)
    ids: dict[str, int] = {"": UNKNOWN_ID}
    flat, groups = array("i"), _Groups()
    lengths, labels, given, hashes, group_ids = list[int](), list[int](), list[str](), list[int](), list[int]()
    for document in documents:
        tokens = tokenize(document.text) or [""]
        flat.extend([ids.setdefault(token, len(ids)) for token in tokens])
        lengths.append(len(tokens))
        labels.append(document.label)
        given.append(document.split)
        hashes.append(text_hash(document.text))
        group_ids.append(groups.id_of(document))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return _Read(
        words=list(ids),
        texts=Ragged(np.frombuffer(flat, dtype=np.int32) if flat else np.zeros(0, np.int32), offsets),
        labels=np.asarray(labels, dtype=np.int64),
        given=np.asarray(given, dtype=np.str_),
        hashes=np.asarray(hashes, dtype=np.uint64),
        groups=np.asarray(group_ids, dtype=np.int64) if groups.named else None,
    )


def _encoded(read: _Read, vocab: Vocab) -> Ragged:
    """The texts with the vocabulary's ids in place of the provisional ones."""
    final_ids = np.asarray(vocab.encode(read.words), dtype=np.int32)
    return Ragged(final_ids[read.texts.flat], read.texts.offsets)


def _opened(stored: Stored, fingerprint: Fingerprint) -> PreparedCorpus:
    splits = {
        name: Split(
            Ragged(stored.arrays[f"{name}_ids"], stored.arrays[f"{name}_offsets"]), stored.arrays[f"{name}_labels"]
        )
        for name in SPLITS
    }
    hashes = SplitHashes.stored(stored.arrays)
    identity = DataIdentity(fingerprint, hashes=hashes, split_as_earlier=stored.info["split_as_earlier"])
    return PreparedCorpus(splits, Vocab(stored.info["vocab"]), tuple(stored.info["labels"]), identity)
