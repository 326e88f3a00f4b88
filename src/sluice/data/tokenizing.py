"""A labelled corpus as ragged arrays of ids, prepared once."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Stored, entry_path, load_or_build
from sluice.data.ragged import Ragged
from sluice.data.sources import SPLITS, Document, LabelledCorpus
from sluice.data.splits import hold_out
from sluice.data.watching import watched
from sluice.errors import UserError
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


@dataclass(frozen=True)
class Split:
    """The texts and labels of one split."""

    texts: Ragged
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    """Group ids while the corpus is read; what belongs to no group has an id of its own."""

    def kept_lengths(self, max_length: int) -> NDArray[np.int64]:
        """(N,) tokens of each text once truncated."""
        return np.minimum(self.texts.lengths, max_length)

    def relabelled(self, ids: Sequence[int]) -> "Split":
        """The same texts with other class ids: `ids[old]` is the new one."""
        return Split(self.texts, np.asarray(ids, dtype=np.int64)[self.labels])


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus ready for training."""

    splits: dict[str, Split]
    vocab: Vocab
    labels: tuple[str, ...]


def prepare_corpus(corpus: LabelledCorpus, settings: TextSettings, cache_dir: Path) -> PreparedCorpus:
    """Opens the prepared corpus, preparing and storing it on first use.

    Raises:
        UserError: whatever the corpus says is wrong with it, an empty vocabulary, or a cache that can't be written.
    """
    path = entry_path(cache_dir, f"texts-{corpus.name}", texts_key(corpus, settings))
    return _opened(load_or_build(path, lambda: _stored(corpus, settings)))


def texts_key(corpus: LabelledCorpus, settings: TextSettings) -> dict[str, Any]:
    """Everything that the prepared arrays depend on."""
    return {"corpus": corpus.fingerprint, "labels": corpus.labels, **vars(settings)}


@dataclass
class _Growing:
    """The arrays of a split while it is read; ids are provisional."""

    flat: "array[int]" = field(default_factory=lambda: array("i"))
    lengths: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    _group_ids: dict[str, int] = field(default_factory=dict)

    def add(self, ids: list[int], document: Document) -> None:
        """Appends a text in ids."""
        self.flat.extend(ids)
        self.lengths.append(len(ids))
        self.labels.append(document.label)
        name = document.group or f"#{len(self.groups)}"
        self.groups.append(self._group_ids.setdefault(name, len(self._group_ids)))

    def finish(self) -> Split:
        flat = np.frombuffer(self.flat, dtype=np.int32) if self.flat else np.zeros(0, np.int32)
        offsets = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]).astype(np.int64)
        labels, groups = np.asarray(self.labels, dtype=np.int64), np.asarray(self.groups, dtype=np.int64)
        return Split(Ragged(flat, offsets), labels, groups)


def encode_corpus(corpus: LabelledCorpus, settings: TextSettings, vocab: Vocab) -> dict[str, Split]:
    """All splits of a corpus in the ids of a given vocabulary, read anew; nothing is stored."""
    words, splits = _read(corpus, settings.tokenizer)
    return _encoded(_complete(splits, corpus.labels, settings), words, vocab)


def encode_whole(corpus: LabelledCorpus, tokenizer: str, vocab: Vocab) -> Split:
    """The training texts of a corpus, nothing held out, in the ids of a given vocabulary; nothing is stored."""
    words, splits = _read(corpus, tokenizer)
    return _encoded(splits, words, vocab)["train"]


def _stored(corpus: LabelledCorpus, settings: TextSettings) -> Stored:
    words, splits = _read(corpus, settings.tokenizer)
    splits = _complete(splits, corpus.labels, settings)
    counts = np.bincount(splits["train"].texts.flat, minlength=len(words))
    vocab = Vocab.build(
        Counter({word: int(count) for word, count in zip(words, counts, strict=True) if count and word}),
        min_freq=settings.min_freq,
        max_size=settings.max_size,
    )
    arrays: dict[str, NDArray[Any]] = {}
    for name, split in _encoded(splits, words, vocab).items():
        arrays[f"{name}_ids"] = split.texts.flat
        arrays[f"{name}_offsets"] = split.texts.offsets
        arrays[f"{name}_labels"] = split.labels
    return Stored(arrays, {"vocab": vocab.tokens, "labels": list(corpus.labels)})


def _read(corpus: LabelledCorpus, tokenizer: str) -> tuple[list[str], dict[str, Split]]:
    """All words by provisional id, and the splits in those ids; a text without a token gets one unknown word."""
    tokenize = make_tokenizer(tokenizer)
    ids: dict[str, int] = {"": UNKNOWN_ID}
    growing: dict[str, _Growing] = {}
    for document in watched(corpus.documents(), "Preparing texts (once)"):
        split = growing.setdefault(document.split, _Growing())
        tokens = tokenize(document.text) or [""]
        split.add([ids.setdefault(token, len(ids)) for token in tokens], document)
    return list(ids), {name: split.finish() for name, split in growing.items()}


def _encoded(splits: dict[str, Split], words: list[str], vocab: Vocab) -> dict[str, Split]:
    """The splits with the vocabulary's ids in place of the provisional ones."""
    final_ids = np.asarray(vocab.encode(words), dtype=np.int32)
    return {
        name: Split(Ragged(final_ids[split.texts.flat], split.texts.offsets), split.labels)
        for name, split in splits.items()
    }


def _complete(splits: dict[str, Split], labels: tuple[str, ...], settings: TextSettings) -> dict[str, Split]:
    """Cuts the splits that the corpus doesn't have from its training texts."""
    if "train" not in splits:
        raise UserError("the corpus has no training texts")
    for name, share in (("test", settings.test_share), ("val", settings.validation_share)):
        if name not in splits:
            train = splits["train"]
            held = hold_out(train.labels, share, labels, train.groups)
            splits[name], splits["train"] = _chosen(train, held), _chosen(train, ~held)
    return {name: splits[name] for name in SPLITS}


def _chosen(split: Split, mask: NDArray[np.bool_]) -> Split:
    index = np.flatnonzero(mask)
    return Split(split.texts.rows(index), split.labels[index], None if split.groups is None else split.groups[index])


def _opened(stored: Stored) -> PreparedCorpus:
    splits = {
        name: Split(
            Ragged(stored.arrays[f"{name}_ids"], stored.arrays[f"{name}_offsets"]), stored.arrays[f"{name}_labels"]
        )
        for name in SPLITS
    }
    return PreparedCorpus(splits, Vocab(stored.info["vocab"]), tuple(stored.info["labels"]))
