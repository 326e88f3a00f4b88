"""A tagged corpus as ragged arrays of ids, prepared once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Stored, entry_path, load_or_build
from sluice.data.ragged import Ragged
from sluice.data.sequence_batches import RaggedSequences
from sluice.data.sources import SPLITS
from sluice.data.splits import hold_out
from sluice.data.tagged_files import Tagged
from sluice.errors import UserError
from sluice.text.vocab import Vocab


class TaggedCorpus(Protocol):
    """Sentences with a label for each word, wherever they lie."""

    @property
    def name(self) -> str:
        """What results.json calls it: "sample" or "file"."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits it has sentences for; "train" is one of them."""

    @property
    def fingerprint(self) -> str:
        """A string that changes when the sentences may have changed (part of the cache key); cheap to compute."""

    @property
    def description(self) -> str:
        """Where the sentences come from, for people."""

    def sentences(self, split: str) -> Iterator[Tagged]:
        """Yields every sentence of a split; raises UserError when something cannot be read."""


@dataclass(frozen=True)
class TagSettings:
    """How words become ids; with the corpus, all that the prepared arrays depend on."""

    min_freq: int = 1
    max_size: int | None = None
    validation_share: float = 0.1
    test_share: float = 0.1
    """Used only where the corpus has no such split of its own."""


@dataclass(frozen=True)
class PreparedTags:
    """A tagged corpus ready for training."""

    splits: dict[str, RaggedSequences]
    vocab: Vocab
    tags: tuple[str, ...]
    """The position is the class id."""


def prepare_tags(corpus: TaggedCorpus, settings: TagSettings, cache_dir: Path) -> PreparedTags:
    """Opens the prepared corpus, preparing and storing it on first use.

    Raises:
        UserError: whatever the corpus says is wrong with it, a single tag, a tag that the training sentences lack, an
            empty vocabulary, or a cache that can't be written.
    """
    key = {"corpus": corpus.fingerprint, **vars(settings)}
    return _opened(load_or_build(entry_path(cache_dir, f"tags-{corpus.name}", key), lambda: _stored(corpus, settings)))


def encode_tagged(sentences: list[Tagged], vocab: Vocab, tags: tuple[str, ...]) -> RaggedSequences:
    """Sentences in the ids of a given vocabulary and given tags.

    Raises:
        UserError: for a tag that isn't among them.
    """
    ids = {tag: index for index, tag in enumerate(tags)}
    strange = next((tag for sentence in sentences for tag in sentence.tags if tag not in ids), None)
    if strange is not None:
        raise UserError(f"the tag {strange!r} is not in the training sentences, which have {', '.join(tags)}")
    words = [vocab.encode(sentence.words) for sentence in sentences]
    classes = [[ids[tag] for tag in sentence.tags] for sentence in sentences]
    return RaggedSequences(_ragged(words), _ragged(classes))


def _stored(corpus: TaggedCorpus, settings: TagSettings) -> Stored:
    splits = {split: list(corpus.sentences(split)) for split in corpus.splits}
    for name, share in (("test", settings.test_share), ("val", settings.validation_share)):
        if name not in splits:
            splits[name], splits["train"] = _held_out(splits["train"], share)
    counts = Counter(chain.from_iterable(sentence.words for sentence in splits["train"]))
    tags = sorted(set(chain.from_iterable(sentence.tags for sentence in splits["train"])))
    if len(tags) < 2:
        raise UserError(f"all words have the tag {tags[0]!r}: two or more are needed to tell apart")
    vocab = Vocab.build(counts, min_freq=settings.min_freq, max_size=settings.max_size)
    arrays: dict[str, NDArray[Any]] = {}
    for name in SPLITS:
        encoded = encode_tagged(splits[name], vocab, tuple(tags))
        arrays[f"{name}_offsets"] = encoded.inputs.offsets
        arrays[f"{name}_words"], arrays[f"{name}_tags"] = encoded.inputs.flat, encoded.targets.flat
    return Stored(arrays, {"vocab": vocab.tokens, "tags": tags})


def _held_out(sentences: list[Tagged], share: float) -> tuple[list[Tagged], list[Tagged]]:
    held = hold_out(np.zeros(len(sentences), dtype=np.int64), share, ("sentences",))
    return (
        [sentence for sentence, out in zip(sentences, held, strict=True) if out],
        [sentence for sentence, out in zip(sentences, held, strict=True) if not out],
    )


def _ragged(rows: list[list[int]]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return Ragged(np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1])), offsets)


def _opened(stored: Stored) -> PreparedTags:
    def part(name: str, kind: str) -> Ragged:
        return Ragged(stored.arrays[f"{name}_{kind}"], stored.arrays[f"{name}_offsets"])

    splits = {name: RaggedSequences(part(name, "words"), part(name, "tags")) for name in SPLITS}
    return PreparedTags(splits, Vocab(stored.info["vocab"]), tuple(stored.info["tags"]))
