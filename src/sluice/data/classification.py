"""Labelled texts as ragged arrays of token ids, and their DataModule."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from sluice.data.cache import (
    DEFAULT_CACHE,
    Arrays,
    CacheEntry,
    bytes_of,
    entry_path,
    load_or_build,
    load_or_prepare,
    text_of_bytes,
)
from sluice.data.collate import TextBatch, TextCollator
from sluice.data.corpus import SPLITS, Document, LabelledCorpus
from sluice.data.datamodule import BucketedData
from sluice.data.identity import DataIdentity, Hashes, text_hash
from sluice.data.ppmi import WINDOW, ppmi_vectors
from sluice.data.progress import track
from sluice.data.ragged import Ragged
from sluice.data.splits import GroupIds, HoldOutSettings, assign_splits, same_rows
from sluice.data.token_ids import TokenIds, token_counts
from sluice.layers.pooling import step_mask
from sluice.terminal import duration
from sluice.text.tokenization import Tokenization
from sluice.text.tokenizers import Tokenizer
from sluice.text.vocab import Vocab

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextSettings(HoldOutSettings):
    """Tokenisation, vocabulary and splits; together with the corpus, the cache key of the prepared arrays."""

    tokens: Tokenization = Tokenization()
    min_freq: int = 1
    max_size: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    """Ignored if the corpus has a test split."""


@dataclass(frozen=True)
class Split:
    """The texts and labels of one split."""

    texts: Ragged
    labels: NDArray[np.int64]

    def truncated_lengths(self, max_length: int) -> NDArray[np.int64]:
        """Returns the (N,) lengths of the texts after truncation to `max_length` tokens."""
        return np.minimum(self.texts.lengths, max_length)


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus ready for training."""

    splits: dict[str, Split]
    vocab: Vocab
    labels: tuple[str, ...]
    identity: DataIdentity
    subword_model: bytes | None = None


def prepare_corpus(corpus: LabelledCorpus, settings: TextSettings, cache_dir: Path) -> PreparedCorpus:
    """Opens the prepared corpus; prepares and caches it on first use.

    Args:
        corpus: the labelled texts.
        settings: tokenisation, vocabulary and splits.
        cache_dir: folder for the prepared arrays.

    Raises:
        UserError: if the corpus cannot be read, the vocabulary is empty, or the cache cannot be written.
    """
    key = {"labels": corpus.labels, **asdict(settings)}
    prepared = load_or_prepare("texts", corpus, key, cache_dir, lambda: _build_entry(corpus, settings))
    splits = {
        name: Split(prepared.ragged(f"{name}_ids", f"{name}_offsets"), prepared.array(f"{name}_labels"))
        for name in SPLITS
    }
    info = prepared.info
    model = bytes_of(info["subword_model"])
    return PreparedCorpus(splits, Vocab(info["vocab"]), tuple(info["labels"]), prepared.identity, model)


def encode_documents(documents: Iterable[Document], tokenize: Tokenizer, vocab: Vocab) -> Split:
    """Encodes documents with a given vocabulary, without caching.

    Args:
        documents: labelled texts; their splits are ignored.
        tokenize: splits a text into tokens.
        vocab: the vocabulary.
    """
    read = _read(documents, tokenize)
    return Split(_encode(read, vocab), read.labels)


@dataclass
class _Read:
    """A corpus as read, in provisional ids."""

    words: list[str]
    """Token of each provisional id."""
    texts: Ragged
    labels: NDArray[np.int64]
    given: NDArray[np.str_]
    """(N,) split of each text according to the corpus."""
    hashes: Hashes
    groups: NDArray[np.int64] | None
    """(N,) group ids; None if no document has a group."""


def _build_entry(corpus: LabelledCorpus, settings: TextSettings) -> CacheEntry:
    documents: Iterable[Document] = track(corpus.documents(), "Preparing texts (once)")
    model = None
    if settings.tokens.unit == "subwords":
        documents = list(documents)
        train = _rows(_read(documents, None), corpus, settings)["train"]
        model = settings.tokens.learn(documents[row].text for row in train)
    read = _read(documents, settings.tokens.make(model))
    rows = _rows(read, corpus, settings)
    matches_legacy_split = same_rows(rows, lambda: _rows(read, corpus, settings, legacy=True))
    counts = Counter(token_counts(read.texts.rows(rows["train"]).flat, read.words))
    del counts[""]
    max_size = None if settings.tokens.unit == "subwords" else settings.max_size  # subwords have a size of their own
    vocab = Vocab.build(counts, min_freq=settings.min_freq, max_size=max_size)
    encoded = _encode(read, vocab)
    arrays: Arrays = {}
    for name in SPLITS:
        texts = encoded.rows(rows[name])
        arrays |= {f"{name}_ids": texts.flat, f"{name}_offsets": texts.offsets}
        arrays |= {f"{name}_labels": read.labels[rows[name]], f"{name}_hashes": read.hashes[rows[name]]}
    info = {"vocab": vocab.tokens, "labels": list(corpus.labels), "subword_model": text_of_bytes(model)}
    return CacheEntry(arrays, {**info, "split_as_earlier": matches_legacy_split})


def _rows(
    read: _Read, corpus: LabelledCorpus, settings: TextSettings, *, legacy: bool = False
) -> dict[str, NDArray[np.int64]]:
    """Assigns texts to splits; `legacy` draws identical texts independently, as earlier versions did."""
    return assign_splits(
        read.given,
        labels=read.labels,
        names=corpus.labels,
        fractions=settings.fractions,
        texts=None if legacy else read.hashes,
        groups=read.groups,
    )


def _read(documents: Iterable[Document], tokenize: Tokenizer | None) -> _Read:
    """Reads texts in provisional ids, None for no ids; a text without tokens becomes one unknown word."""
    groups = GroupIds()
    labels, given, hashes, group_ids = list[int](), list[str](), list[int](), list[int]()

    def texts() -> Iterator[str]:
        for document in documents:
            labels.append(document.label)
            given.append(document.split)
            hashes.append(text_hash(document.text))
            group_ids.append(groups.id_of(document))
            yield document.text

    ids = TokenIds(lambda text: tokenize(text) or [""] if tokenize else [], known=[""])
    read = ids.read_all(texts()) if tokenize else Ragged.from_rows([] for _ in texts())
    return _Read(
        words=ids.words,
        texts=read,
        labels=np.asarray(labels, dtype=np.int64),
        given=np.asarray(given, dtype=np.str_),
        hashes=np.asarray(hashes, dtype=np.uint64),
        groups=np.asarray(group_ids, dtype=np.int64) if groups.named else None,
    )


def _encode(read: _Read, vocab: Vocab) -> Ragged:
    """Replaces the provisional ids by those of the vocabulary."""
    final_ids = np.asarray(vocab.encode(read.words), dtype=np.int32)
    return Ragged(final_ids[read.texts.flat], read.texts.offsets)


class ClassificationData(BucketedData[TextBatch]):
    """Labelled texts in batches of similar length; prepared once, then memory-mapped from the cache.

    Example:
        >>> import tempfile
        >>> from sluice.data.corpora.tables import LabelledTable
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = [f"film {i} is {word}" for i in range(10) for word in ("fine,pos", "dull,neg")]
        >>> _ = (folder / "films.csv").write_text("\\n".join(["text,label", *rows]))
        >>> corpus = LabelledTable(path=folder / "films.csv")
        >>> data = ClassificationData(corpus=corpus, settings=TextSettings(), cache_dir=folder, batch_size=4)
        >>> data.prepared.labels
        ('neg', 'pos')
        >>> next(iter(data.train_dataloader())).ids.shape
        torch.Size([4, 4])
    """

    items = "texts"

    def __init__(
        self,
        *,
        corpus: LabelledCorpus,
        settings: TextSettings = TextSettings(),
        cache_dir: Path = DEFAULT_CACHE,
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
            corpus: the labelled texts.
            settings: tokenisation, vocabulary and splits.
            cache_dir: folder for the prepared arrays.
            batch_size: texts per rank in a training batch; evaluation batches are four times larger, unless
                they would have more than 65,536 tokens.
            max_tokens: maximum number of tokens per rank in a training batch, including padding; None for no limit.
            max_length: maximum number of tokens of a text; longer texts are truncated.
            truncation: "head", "tail" or "head_tail".
            padding: side of the padding, "left" or "right".
            num_workers: loader processes; 0 is fastest on a CPU (collating takes about 0.1 ms per batch).
            seed: seed of the training order.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed, max_tokens=max_tokens)
        self.corpus, self.settings, self.cache_dir = corpus, settings, cache_dir
        self.max_length, self.truncation, self.padding = max_length, truncation, padding

    @cached_property
    def prepared(self) -> PreparedCorpus:
        """The arrays, vocabulary and labels; prepared on first use."""
        return prepare_corpus(self.corpus, self.settings, self.cache_dir)

    def word_vectors(self, size: int) -> Tensor:
        """Returns (V, size) word vectors of the training texts, see `ppmi_vectors`; cached."""
        texts = {"corpus": self.prepared.identity.fingerprint.key, **asdict(self.settings)}
        key = {"texts": texts, "size": size, "window": WINDOW}
        path = entry_path(self.cache_dir, f"vectors-{self.corpus.name}", key)

        def build() -> CacheEntry:
            started = time.monotonic()
            vectors = ppmi_vectors(self.prepared.splits["train"].texts, len(self.prepared.vocab), size)
            took = duration(time.monotonic() - started)
            log.info("Computed and cached PPMI word vectors of the training texts in %s.", took)
            return CacheEntry({"vectors": vectors.numpy()}, {})

        return torch.from_numpy(load_or_build(path, build).arrays["vectors"].copy())

    def padded_training_texts(self, size: int = 500) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields batches of `size` training texts: ids (B, T), a mask (B, T) that is False for padding, labels (B,)."""
        split = self.prepared.splits["train"]
        collate = TextCollator(split.texts, split.labels, max_length=self.max_length, truncation=self.truncation)
        for start in range(0, len(split.labels), size):
            batch = collate(range(start, min(start + size, len(split.labels))))
            yield batch.ids, step_mask(batch.lengths, batch.ids.shape[1], batch.ids.device), batch.labels

    def text_of(self, split: str, index: int) -> str:
        """Returns the tokens of a text as encoded, with `<unk>` for unknown words."""
        return " ".join(self.prepared.vocab.decode(self.prepared.splits[split].texts[index]))

    def loader(self, name: str, shuffle: bool = False) -> DataLoader[TextBatch]:
        """Returns this rank's batches of a split.

        Raises:
            UserError: if there are fewer texts than processes.
        """
        split = self.prepared.splits[name]
        collate = TextCollator(
            split.texts,
            split.labels,
            max_length=self.max_length,
            truncation=self.truncation,
            padding=self.padding,
        )
        keys = split.truncated_lengths(self.max_length)
        return self.bucketed(name, keys, collate, shuffle=shuffle, max_tokens=self.max_tokens)
