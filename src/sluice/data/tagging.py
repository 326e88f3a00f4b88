"""A tagged corpus as ragged arrays of ids, prepared once."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Arrays, CacheEntry, load_or_prepare
from sluice.data.corpus import SPLITS, Tagged, TaggedCorpus
from sluice.data.identity import DataIdentity, Hashes, hashes_of
from sluice.data.ragged import Ragged, RaggedSequences
from sluice.data.splits import HoldOutSettings, assign_splits, same_rows
from sluice.errors import UserError
from sluice.text.vocab import Vocab


@dataclass(frozen=True)
class TagSettings(HoldOutSettings):
    """How words become ids; with the corpus, all that the prepared arrays depend on."""

    min_freq: int = 1
    max_size: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    """Used only where the corpus has no such split of its own."""


@dataclass(frozen=True)
class PreparedTags:
    """A tagged corpus ready for training."""

    splits: dict[str, RaggedSequences]
    vocab: Vocab
    tags: tuple[str, ...]
    """The position is the class id."""
    identity: DataIdentity


def prepare_tags(corpus: TaggedCorpus, settings: TagSettings, cache_dir: Path) -> PreparedTags:
    """Opens the prepared corpus, preparing and storing it on first use.

    Raises:
        UserError: whatever the corpus says is wrong with it, a single tag, a tag that the training sentences lack, an
            empty vocabulary, or a cache that can't be written.
    """
    prepared = load_or_prepare("tags", corpus, vars(settings), cache_dir, lambda: _stored(corpus, settings))
    splits = {
        name: RaggedSequences(*(prepared.ragged(f"{name}_{part}", f"{name}_offsets") for part in ("words", "tags")))
        for name in SPLITS
    }
    return PreparedTags(splits, Vocab(prepared.info["vocab"]), tuple(prepared.info["tags"]), prepared.identity)


def sentence_hashes(sentences: Iterable[Tagged]) -> Hashes:
    """(N,) the hash of each sentence's words."""
    return hashes_of((" ".join(sentence.words),) for sentence in sentences)


def assign_sentences(
    given: NDArray[np.str_], settings: TagSettings, texts: Hashes | None
) -> dict[str, NDArray[np.int64]]:
    """The rows of each split.

    Args:
        given: (N,) the split that the corpus gives each sentence.
        settings: with the fractions.
        texts: (N,) the sentences' hashes; None as in earlier versions, which drew identical ones one by one.
    """
    labels = np.zeros(len(given), dtype=np.int64)
    return assign_splits(given, labels=labels, names=("sentences",), fractions=settings.fractions, texts=texts)


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
    return RaggedSequences(Ragged.from_rows(words), Ragged.from_rows(classes))


def _stored(corpus: TaggedCorpus, settings: TagSettings) -> CacheEntry:
    sentences, given = read_sentences(corpus)
    if len(given_tags := set(chain.from_iterable(sentence.tags for sentence in sentences))) < 2:
        raise UserError(f"all words have the tag {given_tags.pop()!r}: two or more are needed to tell apart")
    hashes = sentence_hashes(sentences)
    rows = assign_sentences(given, settings, hashes)
    splits = {name: [sentences[row] for row in rows[name]] for name in SPLITS}
    counts = Counter(chain.from_iterable(sentence.words for sentence in splits["train"]))
    tags = sorted(set(chain.from_iterable(sentence.tags for sentence in splits["train"])))
    vocab = Vocab.build(counts, min_freq=settings.min_freq, max_size=settings.max_size)
    arrays: Arrays = {}
    for name in SPLITS:
        encoded = encode_tagged(splits[name], vocab, tuple(tags))
        arrays[f"{name}_offsets"] = encoded.inputs.offsets
        arrays[f"{name}_words"], arrays[f"{name}_tags"] = encoded.inputs.flat, encoded.targets.flat
        arrays[f"{name}_hashes"] = hashes[rows[name]]
    as_earlier = same_rows(rows, lambda: assign_sentences(given, settings, None))
    return CacheEntry(arrays, {"vocab": vocab.tokens, "tags": tags, "split_as_earlier": as_earlier})


def read_sentences(corpus: TaggedCorpus) -> tuple[list[Tagged], NDArray[np.str_]]:
    """All sentences of a corpus, and the split that it gives each."""
    read = [(split, sentence) for split in corpus.splits for sentence in corpus.sentences(split)]
    return [sentence for _, sentence in read], np.asarray([split for split, _ in read], dtype=np.str_)
