"""Labelled texts: as ragged arrays of ids, prepared once, and their DataModule."""

import logging
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from sluice.data.cache import Arrays, Stored, entry_path, load_or_build, load_or_prepare
from sluice.data.collate import BatchMaker, TextBatch
from sluice.data.corpus import SPLITS, Document, LabelledCorpus
from sluice.data.datamodule import BucketedData
from sluice.data.identity import DataIdentity, Hashes, text_hash
from sluice.data.ppmi import WINDOW, ppmi_vectors
from sluice.data.progress import track
from sluice.data.ragged import Ragged
from sluice.data.splits import HeldOut, assign_splits, same_rows
from sluice.text.tokenizers import make_tokenizer
from sluice.text.vocab import UNKNOWN_ID, Vocab

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextSettings(HeldOut):
    """How texts become ids; with the corpus, all that the prepared arrays depend on."""

    tokenizer: str = "basic_english"
    min_freq: int = 1
    max_size: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    """Used only where the corpus has no test texts of its own."""


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
    prepared = load_or_prepare("texts", corpus, key, cache_dir, lambda: _stored(corpus, settings))
    splits = {
        name: Split(prepared.ragged(f"{name}_ids", f"{name}_offsets"), prepared.array(f"{name}_labels"))
        for name in SPLITS
    }
    return PreparedCorpus(splits, Vocab(prepared.info["vocab"]), tuple(prepared.info["labels"]), prepared.identity)


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
    read = _read(track(corpus.documents(), "Preparing texts (once)"), settings.tokenizer)
    assign = partial(
        assign_splits,
        read.given,
        labels=read.labels,
        names=corpus.labels,
        fractions=settings.fractions,
        groups=read.groups,
    )
    rows = assign(texts=read.hashes)
    as_earlier = same_rows(rows, lambda: assign(texts=None))
    counts = np.bincount(read.texts.rows(rows["train"]).flat, minlength=len(read.words))
    vocab = Vocab.build(
        Counter({word: int(count) for word, count in zip(read.words, counts, strict=True) if count and word}),
        min_freq=settings.min_freq,
        max_size=settings.max_size,
    )
    encoded = _encoded(read, vocab)
    arrays: Arrays = {}
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
    return _Read(
        words=list(ids),
        texts=Ragged.from_lengths(np.asarray(flat, dtype=np.int32), lengths),
        labels=np.asarray(labels, dtype=np.int64),
        given=np.asarray(given, dtype=np.str_),
        hashes=np.asarray(hashes, dtype=np.uint64),
        groups=np.asarray(group_ids, dtype=np.int64) if groups.named else None,
    )


def _encoded(read: _Read, vocab: Vocab) -> Ragged:
    """The texts with the vocabulary's ids in place of the provisional ones."""
    final_ids = np.asarray(vocab.encode(read.words), dtype=np.int32)
    return Ragged(final_ids[read.texts.flat], read.texts.offsets)


class ClassificationData(BucketedData[TextBatch]):
    """Labelled texts in batches of like length; prepared once, then read from disk."""

    items = "texts"

    def __init__(
        self,
        *,
        corpus: LabelledCorpus,
        settings: TextSettings,
        cache_dir: Path,
        batch_size: int = 64,
        max_tokens: int | None = None,
        max_length: int = 400,
        truncation: str = "head",
        padding: str = "right",
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            corpus: where the texts come from.
            settings: how they become ids.
            cache_dir: where the prepared arrays are kept.
            batch_size: texts in a training batch on one rank; evaluation takes four times as many.
            max_tokens: budget of a training batch on one rank, padding counted; None for no budget.
            max_length: most tokens kept of a text.
            truncation: "head", "tail" or "head_tail".
            padding: "left" or "right" of the texts.
            num_workers: loader processes; 0 is fastest on a CPU, making a batch takes about 0.1 ms.
            seed: of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.max_length, self.truncation, self.padding = max_length, truncation, padding

    @cached_property
    def prepared(self) -> PreparedCorpus:
        """The arrays, vocabulary and labels; prepared on first use."""
        return prepare_corpus(self.corpus, self.settings, self.cache_dir)

    def word_vectors(self, size: int) -> Tensor:
        """(V, size) vectors from the training texts alone, see `ppmi_vectors`; made and stored on first use."""
        texts = {"corpus": self.prepared.identity.fingerprint.key, **vars(self.settings)}
        key = {"texts": texts, "size": size, "window": WINDOW}
        path = entry_path(self.cache_dir, f"vectors-{self.corpus.name}", key)

        def build() -> Stored:
            started = time.monotonic()
            vectors = ppmi_vectors(self.prepared.splits["train"].texts, len(self.prepared.vocab), size)
            log.info("Computed PPMI word vectors of the training texts in %.0f s.", time.monotonic() - started)
            return Stored({"vectors": vectors.numpy()}, {})

        return torch.from_numpy(load_or_build(path, build).arrays["vectors"].copy())

    def text_of(self, split: str, index: int) -> str:
        """The tokens of a text, as the model knows them."""
        return " ".join(self.prepared.vocab.decode(self.prepared.splits[split].texts[index]))

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextBatch]:
        """A split in batches, this process's share.

        Raises:
            UserError: if there are too few texts for all processes.
        """
        split = self.prepared.splits[name]
        make = BatchMaker(
            split.texts,
            split.labels,
            max_length=self.max_length,
            truncation=self.truncation,
            padding=self.padding,
        )
        keys = split.kept_lengths(self.max_length)
        return self.bucketed(name, keys, make, shuffle=shuffle, max_tokens=self.max_tokens)
