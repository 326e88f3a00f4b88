"""A parallel corpus as ragged arrays of ids, prepared once."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sluice.data.cache import Stored, entry_path, load_or_build
from sluice.data.lines import Lines
from sluice.data.pair_batches import PairSplit
from sluice.data.pairs import ParallelCorpus
from sluice.data.ragged import Ragged
from sluice.data.sources import SPLITS
from sluice.data.splits import hold_out
from sluice.errors import UserError
from sluice.text.coder import SentenceCoder, make_unit
from sluice.text.sentences import BEGIN_ID, END_ID, SentenceVocab
from sluice.text.subwords import Subwords
from sluice.text.units import Unit

SIDES = ("source", "target")


@dataclass(frozen=True)
class PairSettings:
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
    validation_share: float = 0.1
    test_share: float = 0.1
    """Used only where the corpus has no test pairs of its own."""
    symbols: bool = False
    """A source is one symbol, however it is written: a number, the name of a class."""


@dataclass(frozen=True)
class PreparedPairs:
    """A parallel corpus ready for training."""

    splits: dict[str, PairSplit]
    source: SentenceCoder
    target: SentenceCoder
    notes: list[str]
    """What was dropped or cut, in words and numbers."""


@dataclass
class _Texts:
    """The pairs of a split while they are read: sentences, and their tokens once they are cut."""

    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    source_tokens: list[list[str]] = field(default_factory=list)
    target_tokens: list[list[str]] = field(default_factory=list)

    def chosen(self, index: Iterable[int]) -> "_Texts":
        """The pairs at these places."""
        places = list(index)
        return _Texts(*([column[place] for place in places] if column else [] for column in vars(self).values()))

    def cut(self, source: Unit, target: Unit) -> None:
        """Fills in the tokens."""
        self.source_tokens = [source.split(text) for text in self.source]
        self.target_tokens = [target.split(text) for text in self.target]


def prepare_pairs(corpus: ParallelCorpus, settings: PairSettings, cache_dir: Path) -> PreparedPairs:
    """Opens the prepared corpus, preparing and storing it on first use.

    Raises:
        UserError: whatever the corpus says is wrong with it, no pair left to train on, an empty vocabulary, too few
            subwords, or a cache that can't be written.
        ValueError: for a unit, tokenizer or kind of subwords that doesn't exist.
    """
    languages = [corpus.source_language, corpus.target_language]
    key = {"corpus": corpus.fingerprint, "languages": languages, **vars(settings)}
    path = entry_path(cache_dir, f"pairs-{corpus.name}", key)
    return _opened(load_or_build(path, lambda: _stored(corpus, settings)))


def encode_pairs(
    corpus: ParallelCorpus, source: SentenceCoder, target: SentenceCoder, *, max_length: int
) -> dict[str, PairSplit]:
    """The splits that a corpus has, whole, in the ids of given coders, read anew; nothing is stored."""
    splits, _ = _read(corpus)
    for texts in splits.values():
        texts.cut(source.unit, target.unit)
        _shorten(texts, max_length)
    return {name: _encoded(texts, source, target) for name, texts in splits.items()}


def _stored(corpus: ParallelCorpus, settings: PairSettings) -> Stored:
    splits, notes = _read(corpus)
    splits = _complete(splits, settings)
    units = _units(corpus, settings, splits["train"])
    for name in SPLITS:
        splits[name].cut(units["source"][0], units["target"][0])
    splits["train"] = _filtered(splits["train"], settings, notes)
    for name in ("val", "test"):
        cut = _shorten(splits[name], settings.max_length)
        if cut:
            notes.append(f"{cut:,} sources of {name} are longer than {settings.max_length} tokens and were cut")
    coders = _coders(corpus, settings, splits["train"], {side: units[side][1] for side in SIDES})
    arrays: dict[str, Any] = {}
    for name, texts in splits.items():
        split = _encoded(texts, coders["source"], coders["target"])
        for part, held in vars(split).items():
            arrays[f"{name}_{part}"], arrays[f"{name}_{part}_offsets"] = held.flat, held.offsets
    return Stored(arrays, {"notes": notes, **{side: _as_json(coders[side]) for side in SIDES}})


def _read(corpus: ParallelCorpus) -> tuple[dict[str, _Texts], list[str]]:
    """The splits as they were written, without pairs of which a side is empty, and what was dropped."""
    splits: dict[str, _Texts] = {}
    empty: Counter[str] = Counter()
    for split, source, target in corpus.pairs():
        texts = splits.setdefault(split, _Texts())
        if source.strip() and target.strip():
            texts.source.append(source.strip())
            texts.target.append(target.strip())
        else:
            empty[split] += 1
    return splits, [f"{count:,} pairs of {split} have an empty line and were dropped" for split, count in empty.items()]


def _complete(splits: dict[str, _Texts], settings: PairSettings) -> dict[str, _Texts]:
    """Cuts the splits that the corpus doesn't have from its training pairs; equal sources stay together."""
    for name, share in (("test", settings.test_share), ("val", settings.validation_share)):
        if name not in splits:
            train = splits["train"]
            group_ids: dict[str, int] = {}
            groups = np.asarray([group_ids.setdefault(text, len(group_ids)) for text in train.source], dtype=np.int64)
            held = hold_out(np.zeros(len(groups), dtype=np.int64), share, ("sentence pairs",), groups)
            splits[name], splits["train"] = train.chosen(np.flatnonzero(held)), train.chosen(np.flatnonzero(~held))
    for name in SPLITS:
        if not splits[name].source:
            raise UserError(f"no pair of {name} has a sentence on both sides: check the files")
    return {name: splits[name] for name in SPLITS}


def _units(corpus: ParallelCorpus, settings: PairSettings, train: _Texts) -> dict[str, tuple[Unit, bytes | None]]:
    """Each side's unit with its model of subwords, learned from the training pairs."""
    models: dict[str, bytes | None] = dict.fromkeys(SIDES)
    if settings.unit == "subwords":
        read = {side: [text.lower() if settings.lowercase else text for text in vars(train)[side]] for side in SIDES}
        if settings.joint:
            read["source"] += read["target"]
        options: dict[str, Any] = {"size": settings.subword_size, "kind": settings.subwords}
        models["source"] = Subwords.learn(read["source"], **options).model
        models["target"] = models["source"] if settings.joint else Subwords.learn(read["target"], **options).model
    return {side: (make_unit(**_described(corpus, settings, side, models[side])), models[side]) for side in SIDES}


def _described(corpus: ParallelCorpus, settings: PairSettings, side: str, model: bytes | None) -> dict[str, Any]:
    language = corpus.source_language if side == "source" else corpus.target_language
    shared: dict[str, Any] = {"unit": settings.unit, "tokenizer": settings.tokenizer, "lowercase": settings.lowercase}
    if settings.symbols and side == "source":
        shared, model = {"unit": "words", "tokenizer": "whitespace", "lowercase": False}, None
    return {**shared, "language": language or "en", "subwords": model}


def _filtered(texts: _Texts, settings: PairSettings, notes: list[str]) -> _Texts:
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
    return texts.chosen(np.flatnonzero(kept))


def _shorten(texts: _Texts, max_length: int) -> int:
    """Cuts sources at `max_length` tokens; returns how many were longer."""
    cut = sum(len(tokens) > max_length for tokens in texts.source_tokens)
    texts.source_tokens = [tokens[:max_length] for tokens in texts.source_tokens]
    return cut


def _coders(
    corpus: ParallelCorpus, settings: PairSettings, train: _Texts, models: dict[str, bytes | None]
) -> dict[str, SentenceCoder]:
    counts = {
        "source": Counter(chain.from_iterable(train.source_tokens)),
        "target": Counter(chain.from_iterable(train.target_tokens)),
    }
    if settings.joint:
        counts = dict.fromkeys(SIDES, counts["source"] + counts["target"])
    limits: dict[str, Any] = {"min_freq": settings.min_freq, "max_size": settings.max_size}
    return {
        side: SentenceCoder(
            vocab=SentenceVocab.build(counts[side], **limits), **_described(corpus, settings, side, models[side])
        )
        for side in SIDES
    }


def _encoded(texts: _Texts, source: SentenceCoder, target: SentenceCoder) -> PairSplit:
    return PairSplit(
        _ragged([[*source.vocab.encode(tokens), END_ID] for tokens in texts.source_tokens]),
        _ragged([[BEGIN_ID, *target.vocab.encode(tokens), END_ID] for tokens in texts.target_tokens]),
        Lines.of(texts.source),
        Lines.of(texts.target),
    )


def _ragged(rows: Sequence[list[int]]) -> Ragged:
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return Ragged(flat, offsets)


def _as_json(coder: SentenceCoder) -> dict[str, Any]:
    saved = coder.saved()
    return {**saved, "subwords": saved["subwords"] and base64.b64encode(saved["subwords"]).decode()}


def _from_json(saved: dict[str, Any]) -> SentenceCoder:
    return SentenceCoder.from_saved({**saved, "subwords": saved["subwords"] and base64.b64decode(saved["subwords"])})


def _opened(stored: Stored) -> PreparedPairs:
    def part(name: str, kind: type[Any]) -> Any:
        return kind(stored.arrays[name], stored.arrays[f"{name}_offsets"])

    splits = {
        name: PairSplit(
            part(f"{name}_source", Ragged),
            part(f"{name}_target", Ragged),
            part(f"{name}_source_lines", Lines),
            part(f"{name}_target_lines", Lines),
        )
        for name in SPLITS
    }
    return PreparedPairs(
        splits, _from_json(stored.info["source"]), _from_json(stored.info["target"]), stored.info["notes"]
    )
