"""A parallel corpus as ragged arrays of ids, prepared once."""

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Arrays, CacheEntry, load_or_prepare
from sluice.data.corpus import SPLITS, ParallelCorpus
from sluice.data.identity import DataIdentity, Hashes, hashes_of
from sluice.data.ragged import Lines, ParallelSplit, Ragged
from sluice.data.splits import HoldOutSettings, assign_splits, same_rows
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.text.coder import BOS_ID, EOS_ID, SentenceCoder, SentenceVocab, make_unit
from sluice.text.units import SubwordModel, Unit

SIDES = ("source", "target")


@dataclass(frozen=True)
class ParallelSettings(HoldOutSettings):
    """How sentence pairs become ids; with the corpus, all that the prepared arrays depend on."""

    unit: str = "words"
    """"words", "subwords" or "chars"."""
    tokenizer: str = "moses"
    """Of words: "moses", "basic_english" or "whitespace"."""
    lowercase: bool = False
    min_freq: int = 2
    max_size: int | None = None
    """Of each vocabulary."""
    joint: bool = False
    """One vocabulary, and one model of subwords, for both languages."""
    subwords: str = "bpe"
    """"bpe" or "unigram"."""
    subword_size: int = 8000
    """Pieces of a model of subwords."""
    max_length: int = 100
    """Most tokens of a sentence: longer pairs don't train, longer sources are cut where they are translated."""
    max_ratio: float = 9.0
    """Longer sentence by shorter, in tokens: pairs above it don't train."""
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    """Used only where the corpus has no test pairs of its own."""
    symbols: bool = False
    """A source is one symbol, however it is written: a number, the name of a class."""


@dataclass(frozen=True)
class PreparedParallel:
    """A parallel corpus ready for training."""

    splits: dict[str, ParallelSplit]
    source: SentenceCoder
    target: SentenceCoder
    notes: list[str]
    """What was dropped or cut, in words and numbers."""
    identity: DataIdentity


@dataclass
class ParallelTexts:
    """Sentence pairs as they are read, and their tokens once they are cut."""

    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    source_tokens: list[list[str]] = field(default_factory=list)
    target_tokens: list[list[str]] = field(default_factory=list)

    def hashes(self) -> Hashes:
        """(N,) the hash of each pair, both sentences."""
        return hashes_of(zip(self.source, self.target, strict=True))

    def select(self, index: Iterable[int]) -> "ParallelTexts":
        """The pairs at these places."""
        places = list(index)
        return ParallelTexts(*([column[place] for place in places] if column else [] for column in vars(self).values()))

    def cut(self, source: Unit, target: Unit) -> None:
        """Fills in the tokens."""
        self.source_tokens = [source.split(text) for text in self.source]
        self.target_tokens = [target.split(text) for text in self.target]


def prepare_parallel(corpus: ParallelCorpus, settings: ParallelSettings, cache_dir: Path) -> PreparedParallel:
    """Opens the prepared corpus, preparing and storing it on first use.

    Raises:
        UserError: whatever the corpus says is wrong with it, no pair left to train on, an empty vocabulary, too few
            subwords, or a cache that can't be written.
        ValueError: for a unit, tokenizer or kind of subwords that doesn't exist.
    """
    languages = [corpus.source_language, corpus.target_language]
    key = {"languages": languages, **vars(settings)}
    prepared = load_or_prepare("pairs", corpus, key, cache_dir, lambda: _stored(corpus, settings))
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
    """Pairs in the ids of given coders; longer sources are cut, nothing is stored.

    Args:
        pairs: as they are written.
        source: coder of the sources.
        target: coder of the targets.
        settings: with the limits.
        filtered: leave out the pairs that would not be trained on.
    """
    pairs.cut(source.unit, target.unit)
    if filtered:
        pairs = _filtered(pairs, settings, [])
    _shorten(pairs, settings.max_length)
    return _encoded(pairs, source, target)


def read_parallel_texts(corpus: ParallelCorpus) -> tuple[ParallelTexts, NDArray[np.str_], list[str]]:
    """The pairs as they were written, the split that the corpus gives each, and what was dropped: half-empty pairs.

    Raises:
        UserError: as the corpus does, or if no pair of a split is left.
    """
    texts, given = ParallelTexts(), list[str]()
    kept, empty = Counter[str](), Counter[str]()
    for split, source, target in corpus.pairs():
        whole = bool(source.strip() and target.strip())
        kept[split] += whole
        empty[split] += not whole
        if whole:
            texts.source.append(source.strip())
            texts.target.append(target.strip())
            given.append(split)
    for split, count in kept.items():
        if not count:
            raise UserError(f"no pair of {split} has a sentence on both sides: check the files")
    notes = [
        f"{count:,} pairs of {split} have an empty line and were dropped" for split, count in empty.items() if count
    ]
    return texts, np.asarray(given, dtype=np.str_), notes


def assign_parallel(
    texts: ParallelTexts, given: NDArray[np.str_], settings: ParallelSettings, *, legacy: bool = False
) -> dict[str, NDArray[np.int64]]:
    """The rows of each split; pairs with equal sources are in one split.

    Args:
        texts: N pairs.
        given: (N,) the split that the corpus gives each pair.
        settings: with the fractions.
        legacy: as earlier versions, which compared sources as they are written.
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


def _stored(corpus: ParallelCorpus, settings: ParallelSettings) -> CacheEntry:
    texts, given, notes = read_parallel_texts(corpus)
    rows = assign_parallel(texts, given, settings)
    as_earlier = same_rows(rows, lambda: assign_parallel(texts, given, settings, legacy=True))
    splits = {name: texts.select(rows[name]) for name in SPLITS}
    units = _units(corpus, settings, splits["train"])
    for name in SPLITS:
        splits[name].cut(units["source"][0], units["target"][0])
    hashes = {name: splits[name].hashes() for name in SPLITS}  # of pairs that are left out of training too
    splits["train"] = _filtered(splits["train"], settings, notes)
    for name in ("val", "test"):
        cut = _shorten(splits[name], settings.max_length)
        if cut:
            notes.append(f"{cut:,} sources of {name} are longer than {settings.max_length} tokens and were cut")
    coders = _coders(corpus, settings, splits["train"], {side: units[side][1] for side in SIDES})
    arrays: Arrays = {}
    for name, texts in splits.items():
        split = _encoded(texts, coders["source"], coders["target"])
        arrays[f"{name}_hashes"] = hashes[name]
        for part, held in vars(split).items():
            arrays[f"{name}_{part}"], arrays[f"{name}_{part}_offsets"] = held.flat, held.offsets
    saved = {side: _as_json(coders[side]) for side in SIDES}
    return CacheEntry(arrays, {"notes": notes, "split_as_earlier": as_earlier, **saved})


def _units(
    corpus: ParallelCorpus, settings: ParallelSettings, train: ParallelTexts
) -> dict[str, tuple[Unit, bytes | None]]:
    """Each side's unit with its model of subwords, learned from the training pairs."""
    models: dict[str, bytes | None] = dict.fromkeys(SIDES)
    if settings.unit == "subwords":
        read = {side: [text.lower() if settings.lowercase else text for text in vars(train)[side]] for side in SIDES}
        if settings.joint:
            read["source"] += read["target"]
        learn = partial(SubwordModel.learn, size=settings.subword_size, kind=settings.subwords)
        models["source"] = learn(read["source"]).model
        models["target"] = models["source"] if settings.joint else learn(read["target"]).model
    return {side: (make_unit(**_described(corpus, settings, side, models[side])), models[side]) for side in SIDES}


def _described(corpus: ParallelCorpus, settings: ParallelSettings, side: str, model: bytes | None) -> Plain:
    language = corpus.source_language if side == "source" else corpus.target_language
    shared: Plain = {"unit": settings.unit, "tokenizer": settings.tokenizer, "lowercase": settings.lowercase}
    if settings.symbols and side == "source":
        shared, model = {"unit": "words", "tokenizer": "whitespace", "lowercase": False}, None
    return {**shared, "language": language or "en", "subwords": model}


def _filtered(texts: ParallelTexts, settings: ParallelSettings, notes: list[str]) -> ParallelTexts:
    """The pairs that are neither too long nor too unequal; notes how many are not."""
    lengths = np.asarray(
        [(len(source), len(target)) for source, target in zip(texts.source_tokens, texts.target_tokens, strict=True)]
    )
    too_long = lengths.max(1) > settings.max_length
    too_unequal = lengths.max(1) > settings.max_ratio * lengths.min(1)
    too_unequal &= ~too_long
    if too_long.any():
        notes.append(f"{too_long.sum():,} training pairs are longer than {settings.max_length} tokens and were dropped")
    if too_unequal.any():
        notes.append(
            f"{too_unequal.sum():,} training pairs have one side more than {settings.max_ratio:g} times as long as the "
            "other and were dropped"
        )
    kept = ~too_long & ~too_unequal
    if not kept.any():
        raise UserError(
            f"no training pair is left: all {len(kept):,} are longer than task.data.max_length={settings.max_length} "
            f"tokens or more unequal than task.data.max_ratio={settings.max_ratio:g}; choose larger limits"
        )
    return texts.select(np.flatnonzero(kept))


def _shorten(texts: ParallelTexts, max_length: int) -> int:
    """Cuts sources at `max_length` tokens; returns how many were longer."""
    cut = sum(len(tokens) > max_length for tokens in texts.source_tokens)
    texts.source_tokens = [tokens[:max_length] for tokens in texts.source_tokens]
    return cut


def _coders(
    corpus: ParallelCorpus, settings: ParallelSettings, train: ParallelTexts, models: dict[str, bytes | None]
) -> dict[str, SentenceCoder]:
    counts = {
        "source": Counter(chain.from_iterable(train.source_tokens)),
        "target": Counter(chain.from_iterable(train.target_tokens)),
    }
    if settings.joint:
        counts = dict.fromkeys(SIDES, counts["source"] + counts["target"])
    build = partial(SentenceVocab.build, min_freq=settings.min_freq, max_size=settings.max_size)
    return {
        side: SentenceCoder(vocab=build(counts[side]), **_described(corpus, settings, side, models[side]))
        for side in SIDES
    }


def _encoded(texts: ParallelTexts, source: SentenceCoder, target: SentenceCoder) -> ParallelSplit:
    return ParallelSplit(
        Ragged.from_rows([[*source.vocab.encode(tokens), EOS_ID] for tokens in texts.source_tokens]),
        Ragged.from_rows([[BOS_ID, *target.vocab.encode(tokens), EOS_ID] for tokens in texts.target_tokens]),
        Lines.of(texts.source),
        Lines.of(texts.target),
    )


def _as_json(coder: SentenceCoder) -> Plain:
    saved = coder.saved()
    return {**saved, "subwords": saved["subwords"] and base64.b64encode(saved["subwords"]).decode()}


def _from_json(saved: Plain) -> SentenceCoder:
    return SentenceCoder.from_saved({**saved, "subwords": saved["subwords"] and base64.b64decode(saved["subwords"])})
