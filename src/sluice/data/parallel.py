"""A parallel corpus as ragged arrays of token ids."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Arrays, CacheEntry, bytes_of, load_or_prepare, text_of_bytes
from sluice.data.corpus import SPLITS, ParallelCorpus
from sluice.data.identity import DataIdentity, Hashes, hashes_of
from sluice.data.ragged import Lines, ParallelSplit, Ragged
from sluice.data.splits import HoldOutSettings, assign_splits, same_rows
from sluice.data.token_ids import TokenIds, token_counts
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.text.coder import BOS_ID, EOS_ID, SentenceCoder, SentenceVocab, make_unit
from sluice.text.spacing import UNSPACED_LANGUAGES, base_language
from sluice.text.units import SubwordModel, Unit

SIDES = ("source", "target")
SUBWORDS_VERSION = 2
"""Version of `SubwordModel.learn`, part of the cache key of prepared subwords."""


@dataclass(frozen=True)
class ParallelSettings(HoldOutSettings):
    """Tokenisation, vocabularies, filters and splits.

    All but `subword_dropout`, together with the corpus, are the cache key of prepared arrays.
    """

    unit: str = "words"
    """"words", "subwords" or "chars"."""
    tokenizer: str = "moses"
    """Tokenizer of words: "moses", "basic_english", "whitespace" or "words"."""
    lowercase: bool = False
    min_freq: int = 2
    """Minimum number of occurrences of a word or character in a vocabulary."""
    max_size: int | None = None
    """Maximum number of words or characters in each vocabulary; a vocabulary of subwords has all of them."""
    joint: bool = False
    """Share the vocabulary and the subword model between both languages."""
    subwords: str = "bpe"
    """"bpe" or "unigram"."""
    subword_size: int = 8000
    """Vocabulary size of a subword model."""
    subword_dropout: float = 0.0
    """Probability of leaving out a merge of byte-pair encoding in a training sentence, see BPEDropout."""
    max_length: int = 100
    """Maximum number of tokens: longer training pairs are dropped, longer validation and test sources truncated."""
    max_ratio: float = 9.0
    """Maximum length ratio of a training pair, longer to shorter sentence; other pairs are dropped."""
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    """Ignored if the corpus has a test split."""
    symbols: bool = False
    """Treat each source as whitespace-separated symbols, such as a number or a class name, regardless of `unit`."""

    def check(self) -> None:
        """Checks the settings of a new run.

        Raises:
            UserError: for a maximum size of a subword vocabulary, or `subword_dropout` without byte-pair encoding.
        """
        if self.unit == "subwords" and self.max_size is not None:
            raise UserError(
                f"task.text.max_size={self.max_size} does not apply to task.text.unit=subwords: set "
                "task.text.subword_size instead"
            )
        if self.subword_dropout and (self.unit, self.subwords) != ("subwords", "bpe"):
            raise UserError(
                f"task.text.subword_dropout={self.subword_dropout:g} needs byte-pair encoding: set "
                "task.text.unit=subwords and task.text.subwords=bpe"
            )


@dataclass(frozen=True)
class PreparedParallel:
    """A parallel corpus ready for training."""

    splits: dict[str, ParallelSplit]
    source: SentenceCoder
    target: SentenceCoder
    notes: list[str]
    """Messages about dropped and truncated pairs."""
    identity: DataIdentity


@dataclass
class ParallelTexts:
    """Sentence pairs, and their tokens after `tokenize`."""

    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    source_tokens: Ragged = field(default_factory=lambda: Ragged.concatenated([]))
    target_tokens: Ragged = field(default_factory=lambda: Ragged.concatenated([]))

    def hashes(self) -> Hashes:
        """Returns the (N,) hashes of the pairs."""
        return hashes_of(zip(self.source, self.target, strict=True))

    def select(self, index: Iterable[int]) -> "ParallelTexts":
        """Returns the pairs at these indices."""
        rows = np.fromiter(index, dtype=np.int64)
        return ParallelTexts(
            [self.source[row] for row in rows],
            [self.target[row] for row in rows],
            self.source_tokens.rows(rows) if len(self.source_tokens) else self.source_tokens,
            self.target_tokens.rows(rows) if len(self.target_tokens) else self.target_tokens,
        )

    def tokenize(self, source: TokenIds, target: TokenIds) -> None:
        """Tokenises the sentences of both sides, with the ids of these two."""
        self.source_tokens, self.target_tokens = source.read_all(self.source), target.read_all(self.target)


def prepare_parallel(corpus: ParallelCorpus, settings: ParallelSettings, cache_dir: Path) -> PreparedParallel:
    """Opens the prepared corpus; prepares and caches it on first use.

    Args:
        corpus: the sentence pairs.
        settings: tokenisation, vocabularies, filters and splits.
        cache_dir: folder for the prepared arrays.

    Raises:
        UserError: if the corpus cannot be read, no training pair is left, a vocabulary is empty, the subword model is
            too small, or the cache cannot be written.
        ValueError: for an unknown unit, tokenizer or kind of subwords.
    """
    languages = [corpus.source_language, corpus.target_language]
    key = {"languages": languages, **vars(settings)}
    del key["subword_dropout"]
    if settings.unit == "subwords":
        key["subwords_version"] = SUBWORDS_VERSION
    load = partial(load_or_prepare, "pairs", corpus, build=lambda: _build_entry(corpus, settings), cache_dir=cache_dir)
    prepared = load(settings=key)
    if any(note.startswith("Dropped") and " train" not in note for note in prepared.info["notes"]):
        prepared = load(settings=key | {"empty": "kept"})  # the entry is of a version that dropped test pairs
    splits = {
        name: ParallelSplit(
            prepared.ragged(f"{name}_source", f"{name}_source_offsets"),
            prepared.ragged(f"{name}_target", f"{name}_target_offsets"),
            Lines(prepared.array(f"{name}_source_lines"), prepared.array(f"{name}_source_lines_offsets")),
            Lines(prepared.array(f"{name}_target_lines"), prepared.array(f"{name}_target_lines_offsets")),
        )
        for name in SPLITS
    }
    source, target = (_from_json(prepared.info[side]) for side in SIDES)
    return PreparedParallel(splits, source, target, prepared.info["notes"], prepared.identity)


def encode_parallel(
    pairs: ParallelTexts,
    source: SentenceCoder,
    target: SentenceCoder,
    settings: ParallelSettings,
    *,
    filtered: bool = False,
) -> ParallelSplit:
    """Encodes pairs with given coders, without caching; long sources are truncated.

    Args:
        pairs: the sentence pairs; tokenised in place.
        source: coder of the sources.
        target: coder of the targets.
        settings: with the length limits.
        filtered: whether to drop the pairs that are dropped from training.
    """
    ids = {"source": TokenIds(source.unit.split), "target": TokenIds(target.unit.split)}
    pairs.tokenize(**ids)
    if filtered:
        pairs = _filter(pairs, settings, [])
    _truncate_sources(pairs, settings.max_length)
    return _encode(pairs, {side: ids[side].words for side in SIDES}, {"source": source, "target": target})


def read_parallel_texts(corpus: ParallelCorpus) -> tuple[ParallelTexts, NDArray[np.str_], list[str]]:
    """Reads the pairs of a corpus and drops those of "train" with an empty side.

    Validation and test pairs are all kept, so that translations correspond to the lines of the files; the translation
    of an empty source is empty.

    Returns:
        The pairs, the (N,) split of each according to the corpus, and messages about pairs with an empty side.

    Raises:
        UserError: if the corpus cannot be read, or all pairs of a split have an empty side.
    """
    texts, given = ParallelTexts(), list[str]()
    whole, empty = Counter[str](), Counter[str]()
    for split, source, target in corpus.pairs():
        source, target = source.strip(), target.strip()
        (whole if source and target else empty)[split] += 1
        if split != "train" or (source and target):
            texts.source.append(source)
            texts.target.append(target)
            given.append(split)
    for split in empty:
        if not whole[split]:
            raise UserError(f"all {split} pairs have an empty source or target: check the files")
    notes = [
        f"{'Dropped' if split == 'train' else 'Kept'} {count:,} {split} pairs with an empty source or target"
        for split, count in empty.items()
    ]
    return texts, np.asarray(given, dtype=np.str_), notes


def assign_parallel(
    texts: ParallelTexts, given: NDArray[np.str_], settings: ParallelSettings, *, legacy: bool = False
) -> dict[str, NDArray[np.int64]]:
    """Assigns the pairs to splits; pairs with equal sources are assigned to the same split.

    Args:
        texts: N pairs.
        given: (N,) split of each pair according to the corpus.
        settings: with the held-out fractions.
        legacy: as in earlier versions, which compared sources without normalisation.

    Returns:
        The rows of each split.
    """
    sources, ids = hashes_of((source,) for source in texts.source), dict[str, int]()
    groups = np.asarray([ids.setdefault(source, len(ids)) for source in texts.source], dtype=np.int64)
    return assign_splits(
        given,
        labels=np.zeros(len(given), dtype=np.int64),
        names=("sentence pairs",),
        fractions=settings.fractions,
        texts=sources,
        groups=groups if legacy else None,
    )


def _build_entry(corpus: ParallelCorpus, settings: ParallelSettings) -> CacheEntry:
    texts, given, notes = read_parallel_texts(corpus)
    rows = assign_parallel(texts, given, settings)
    matches_legacy_split = same_rows(rows, lambda: assign_parallel(texts, given, settings, legacy=True))
    splits = {name: texts.select(rows[name]) for name in SPLITS}
    units = _units(corpus, settings, splits["train"])
    ids = {side: TokenIds(units[side][0].split) for side in SIDES}
    for name in SPLITS:
        splits[name].tokenize(**ids)
    words = {side: ids[side].words for side in SIDES}
    hashes = {name: splits[name].hashes() for name in SPLITS}  # includes pairs that are dropped from training
    splits["train"] = _filter(splits["train"], settings, notes)
    for name in ("val", "test"):
        truncated = _truncate_sources(splits[name], settings.max_length)
        if truncated:
            notes.append(f"Truncated {truncated:,} {name} sources longer than {settings.max_length} tokens")
    if settings.unit == "words":
        notes += [
            f"Sentences in {language} are written without spaces: task.text.unit=words needs spaces between the words, "
            "subwords and chars do not"
            for language in (corpus.source_language, corpus.target_language)
            if base_language(language) in UNSPACED_LANGUAGES
        ]
    coders = _coders(corpus, settings, _counts(splits["train"], words), {side: units[side][1] for side in SIDES})
    arrays: Arrays = {}
    for name, texts in splits.items():
        split = _encode(texts, words, coders)
        arrays[f"{name}_hashes"] = hashes[name]
        for part, column in vars(split).items():
            arrays[f"{name}_{part}"], arrays[f"{name}_{part}_offsets"] = column.flat, column.offsets
    saved = {side: _as_json(coders[side]) for side in SIDES}
    return CacheEntry(arrays, {"notes": notes, "split_as_earlier": matches_legacy_split, **saved})


def _units(
    corpus: ParallelCorpus, settings: ParallelSettings, train: ParallelTexts
) -> dict[str, tuple[Unit, bytes | None]]:
    """Returns the unit of each side with its subword model, which is learned from the training pairs."""
    models: dict[str, bytes | None] = dict.fromkeys(SIDES)
    if settings.unit == "subwords":
        read = {side: [text.lower() if settings.lowercase else text for text in vars(train)[side]] for side in SIDES}
        if settings.joint:
            read["source"] += read["target"]
        learn = partial(SubwordModel.learn, size=settings.subword_size, kind=settings.subwords)
        models["source"] = None if settings.symbols else learn(read["source"]).model
        models["target"] = models["source"] if settings.joint else learn(read["target"]).model
    return {side: (make_unit(**_coder_options(corpus, settings, side, models[side])), models[side]) for side in SIDES}


def _coder_options(corpus: ParallelCorpus, settings: ParallelSettings, side: str, model: bytes | None) -> Plain:
    language = corpus.source_language if side == "source" else corpus.target_language
    shared: Plain = {"unit": settings.unit, "tokenizer": settings.tokenizer, "lowercase": settings.lowercase}
    if settings.symbols and side == "source":
        shared, model = {"unit": "words", "tokenizer": "whitespace", "lowercase": False}, None
    return {**shared, "language": language or "en", "subwords": model}


def _filter(texts: ParallelTexts, settings: ParallelSettings, notes: list[str]) -> ParallelTexts:
    """Drops pairs that exceed the length or ratio limits; appends messages to `notes`."""
    lengths = np.stack([texts.source_tokens.lengths, texts.target_tokens.lengths], 1)
    too_long = lengths.max(1) > settings.max_length
    above_ratio = lengths.max(1) > settings.max_ratio * lengths.min(1)
    above_ratio &= ~too_long
    if too_long.any():
        notes.append(f"Dropped {too_long.sum():,} training pairs longer than {settings.max_length} tokens")
    if above_ratio.any():
        notes.append(f"Dropped {above_ratio.sum():,} training pairs with a length ratio above {settings.max_ratio:g}")
    kept = ~too_long & ~above_ratio
    if not kept.any():
        raise UserError(
            f"no training pair is left: all {len(kept):,} exceed task.data.max_length={settings.max_length} tokens or "
            f"the length ratio task.data.max_ratio={settings.max_ratio:g}; increase these limits"
        )
    return texts.select(np.flatnonzero(kept))


def _truncate_sources(texts: ParallelTexts, max_length: int) -> int:
    """Truncates sources to `max_length` tokens; returns the number of truncated sources."""
    truncated = int((texts.source_tokens.lengths > max_length).sum())
    texts.source_tokens = texts.source_tokens.truncated(max_length)
    return truncated


def _counts(train: ParallelTexts, words: Mapping[str, list[str]]) -> dict[str, Counter[str]]:
    """Returns the occurrences of the words of each side in the training pairs."""
    sides = {"source": train.source_tokens, "target": train.target_tokens}
    return {side: Counter(token_counts(tokens.flat, words[side])) for side, tokens in sides.items()}


def _coders(
    corpus: ParallelCorpus,
    settings: ParallelSettings,
    counts: dict[str, Counter[str]],
    models: dict[str, bytes | None],
) -> dict[str, SentenceCoder]:
    if settings.joint:
        counts = dict.fromkeys(SIDES, counts["source"] + counts["target"])
    build = partial(SentenceVocab.build, min_freq=settings.min_freq, max_size=settings.max_size)
    coders = {}
    for side in SIDES:
        options = _coder_options(corpus, settings, side, models[side])
        subwords = options["subwords"]
        vocab = build(counts[side]) if subwords is None else SentenceVocab.of_subwords(SubwordModel(subwords))
        coders[side] = SentenceCoder(vocab=vocab, **options)
    return coders


def _encode(texts: ParallelTexts, words: Mapping[str, list[str]], coders: Mapping[str, SentenceCoder]) -> ParallelSplit:
    """Replaces the ids of the tokens, given the word of each, by those of the vocabularies."""
    final = {side: np.asarray(coders[side].vocab.encode(words[side]), dtype=np.int32) for side in SIDES}
    source = Ragged(final["source"][texts.source_tokens.flat], texts.source_tokens.offsets)
    target = Ragged(final["target"][texts.target_tokens.flat], texts.target_tokens.offsets)
    return ParallelSplit(
        source.followed_by(EOS_ID),
        target.preceded_by(BOS_ID).followed_by(EOS_ID),
        Lines.of(texts.source),
        Lines.of(texts.target),
    )


def _as_json(coder: SentenceCoder) -> Plain:
    saved = coder.saved()
    return {**saved, "subwords": text_of_bytes(saved["subwords"])}


def _from_json(saved: Plain) -> SentenceCoder:
    return SentenceCoder.from_saved({**saved, "subwords": bytes_of(saved["subwords"])})
