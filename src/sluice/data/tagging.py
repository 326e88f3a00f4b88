"""A tagged corpus as ragged arrays of word and tag ids."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Arrays, CacheEntry, load_or_prepare
from sluice.data.corpus import SPLITS, TaggedCorpus, TaggedSentence
from sluice.data.identity import DataIdentity, Hashes, hashes_of
from sluice.data.ragged import Ragged, RaggedSequences
from sluice.data.splits import HoldOutSettings, assign_splits, same_rows
from sluice.errors import UserError
from sluice.text.tag_spans import OUTSIDE, SCHEMES, detect_scheme, parse_tag
from sluice.text.vocab import Vocab

READER_VERSION = 2
"""Version of `read_tagged`, part of the cache key of files; increment it when files are read differently."""


@dataclass(frozen=True)
class TagSettings(HoldOutSettings):
    """Vocabulary and splits; together with the corpus, the cache key of the prepared arrays."""

    min_freq: int = 1
    max_size: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    """Ignored if the corpus has a test split."""


@dataclass(frozen=True)
class PreparedTags:
    """A tagged corpus ready for training."""

    splits: dict[str, RaggedSequences]
    vocab: Vocab
    tags: tuple[str, ...]
    """Tags, indexed by class id."""
    identity: DataIdentity


def prepare_tags(corpus: TaggedCorpus, settings: TagSettings, cache_dir: Path) -> PreparedTags:
    """Opens the prepared corpus; prepares and caches it on first use.

    Args:
        corpus: the tagged sentences.
        settings: vocabulary and splits.
        cache_dir: folder for the prepared arrays.

    Raises:
        UserError: if the corpus cannot be read, has a single tag or a tag that does not occur in training, the
            vocabulary is empty, or the cache cannot be written.
    """
    key = {**vars(settings), **({"reader": READER_VERSION} if corpus.name == "file" else {})}
    prepared = load_or_prepare("tags", corpus, key, cache_dir, lambda: _build_entry(corpus, settings))
    splits = {
        name: RaggedSequences(*(prepared.ragged(f"{name}_{part}", f"{name}_offsets") for part in ("words", "tags")))
        for name in SPLITS
    }
    return PreparedTags(splits, Vocab(prepared.info["vocab"]), tuple(prepared.info["tags"]), prepared.identity)


def sentence_hashes(sentences: Iterable[TaggedSentence]) -> Hashes:
    """Returns the (N,) hashes of the sentences' words."""
    return hashes_of((" ".join(sentence.words),) for sentence in sentences)


def assign_sentences(
    given: NDArray[np.str_], settings: TagSettings, texts: Hashes | None, tags: Ragged | None = None
) -> dict[str, NDArray[np.int64]]:
    """Assigns sentences to splits; a tag that occurs in the training sentences of the corpus stays in training.

    Args:
        given: (N,) split of each sentence according to the corpus.
        settings: with the held-out fractions.
        texts: (N,) hashes of the sentences; None to draw identical sentences independently, as in earlier versions.
        tags: N rows of tag ids; None to ignore the tags, as in earlier versions.

    Returns:
        The rows of each split.
    """
    labels = np.zeros(len(given), dtype=np.int64)
    names = ("sentences",)
    return assign_splits(given, labels=labels, names=names, fractions=settings.fractions, texts=texts, tags=tags)


def encode_tagged(sentences: list[TaggedSentence], vocab: Vocab, tags: tuple[str, ...]) -> RaggedSequences:
    """Encodes sentences with a given vocabulary and given tags.

    Args:
        sentences: the sentences.
        vocab: the vocabulary.
        tags: known tags, indexed by class id.

    Raises:
        UserError: for an unknown tag.
    """
    ids = {tag: index for index, tag in enumerate(tags)}
    unknown = next((tag for sentence in sentences for tag in sentence.tags if tag not in ids), None)
    if unknown is not None:
        raise UserError(f"the tag {unknown!r} does not occur in the training sentences, only {', '.join(tags)}")
    words = [vocab.encode(sentence.words) for sentence in sentences]
    classes = [[ids[tag] for tag in sentence.tags] for sentence in sentences]
    return RaggedSequences(Ragged.from_rows(words), Ragged.from_rows(classes))


def scheme_of(prepared: PreparedTags, setting: str) -> str:
    """Returns the scheme of the tags: the setting, or for "auto" that of the training tags, see `detect_scheme`.

    Args:
        prepared: the corpus.
        setting: "auto", "none" or a scheme.

    Returns:
        A scheme, or "none".

    Raises:
        UserError: if a tag does not have the form of the given scheme.
    """
    if setting == "auto":
        return detect_scheme(_consecutive(prepared.splits["train"].targets, prepared.tags)) or "none"
    if setting != "none":
        for tag in prepared.tags:
            if tag != OUTSIDE and parse_tag(tag, setting)[0] == OUTSIDE:
                prefixes = ", ".join(f"{prefix}-" for prefix in SCHEMES[setting])
                raise UserError(
                    f"task.data.scheme={setting} does not fit the tag {tag!r}, which must be O or begin with one of "
                    f"{prefixes}: set it to auto or none, or correct the tag"
                )
    return setting


def _consecutive(targets: Ragged, tags: tuple[str, ...]) -> set[tuple[str, str]]:
    """Returns all pairs of consecutive tags; the first tag of a sentence is preceded by O."""
    names = (*tags, OUTSIDE)
    before = np.concatenate([[0], targets.flat[:-1]])
    before[targets.offsets[:-1]] = len(tags)
    pairs = np.unique(before.astype(np.int64) * len(names) + targets.flat)
    return {(names[pair // len(names)], names[pair % len(names)]) for pair in pairs.tolist()}


def _build_entry(corpus: TaggedCorpus, settings: TagSettings) -> CacheEntry:
    sentences, given = read_sentences(corpus)
    ids = {tag: index for index, tag in enumerate(dict.fromkeys(chain.from_iterable(one.tags for one in sentences)))}
    if len(ids) < 2:
        raise UserError(f"all words have the tag {next(iter(ids))!r}: at least two different tags are needed")
    _check_number(corpus, given)
    hashes = sentence_hashes(sentences)
    all_tags = Ragged.from_rows([ids[tag] for tag in sentence.tags] for sentence in sentences)
    rows = assign_sentences(given, settings, hashes, all_tags)
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
    matches_legacy_split = same_rows(rows, lambda: assign_sentences(given, settings, None))
    return CacheEntry(arrays, {"vocab": vocab.tokens, "tags": tags, "split_as_earlier": matches_legacy_split})


def _check_number(corpus: TaggedCorpus, given: NDArray[np.str_]) -> None:
    """Checks that there are enough training sentences to hold some out for the missing splits."""
    count, missing = int((given == "train").sum()), len(SPLITS) - len(corpus.splits)
    if count <= missing:
        raise UserError(
            f"{corpus.description}: {count} training {'sentence is' if count == 1 else 'sentences are'} too few to "
            "hold some out for validation and test; end each sentence with an empty line, add sentences, or set "
            "task.data.validation_path and task.data.test_path"
        )


def read_sentences(corpus: TaggedCorpus) -> tuple[list[TaggedSentence], NDArray[np.str_]]:
    """Returns all sentences of a corpus, and the (N,) split of each."""
    read = [(split, sentence) for split in corpus.splits for sentence in corpus.sentences(split)]
    return [sentence for _, sentence in read], np.asarray([split for split, _ in read], dtype=np.str_)
