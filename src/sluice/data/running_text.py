"""Running text as one memory-mapped array of token ids per split, prepared out of core."""

import hashlib
import tempfile
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.data.cache import Arrays, CacheEntry, load_or_prepare
from sluice.data.corpus import SPLITS, RunningText
from sluice.data.identity import DataIdentity
from sluice.data.progress import track
from sluice.data.token_ids import TokenIds
from sluice.errors import UserError, reason_of
from sluice.text.lines import LinePart
from sluice.text.tokenizers import END_OF_LINE, Tokenizer, make_tokenizer
from sluice.text.vocab import UNKNOWN, Vocab

BLOCK = 2**20
"""Provisional ids that are replaced at a time."""
KNOWN = (UNKNOWN, END_OF_LINE)
"""Tokens with the first provisional ids."""


@dataclass(frozen=True)
class StreamSettings:
    """Tokenisation and vocabulary; together with the corpus, the cache key of the prepared arrays."""

    tokenizer: str = "whitespace"
    min_freq: int = 1
    max_size: int | None = None


@dataclass(frozen=True)
class PreparedText:
    """A text ready for training."""

    splits: dict[str, NDArray[np.int32]]
    """Memory-mapped token ids of each split; `END_OF_LINE` stands where a line ends."""
    vocab: Vocab
    """Words in order of decreasing frequency."""
    identity: DataIdentity


def prepare_text(corpus: RunningText, settings: StreamSettings, cache_dir: Path) -> PreparedText:
    """Opens the prepared text; prepares and caches it on first use.

    Args:
        corpus: the running text.
        settings: tokenisation and vocabulary.
        cache_dir: folder for the prepared arrays.

    Raises:
        UserError: if the corpus cannot be read, a split or the vocabulary is empty, or the cache cannot be written.
    """
    prepared = load_or_prepare(
        "stream", corpus, vars(settings), cache_dir, lambda: _build_entry(corpus, settings, cache_dir)
    )
    splits = {name: prepared.array(name) for name in SPLITS}
    return PreparedText(splits, Vocab(prepared.info["vocab"]), prepared.identity)


def encode_lines(lines: Iterable[LinePart], tokenize: Tokenizer, vocab: Vocab) -> NDArray[np.int32]:
    """Encodes lines with a given vocabulary; `END_OF_LINE` stands where a line ends.

    Args:
        lines: the lines, or parts of them.
        tokenize: the tokenizer.
        vocab: the vocabulary.
    """
    flat = array("i")
    for text, ends in lines:
        flat.extend(vocab.encode([*tokenize(text), END_OF_LINE] if ends else tokenize(text)))
    return np.asarray(flat, dtype=np.int32)


def _build_entry(corpus: RunningText, settings: StreamSettings, cache_dir: Path) -> CacheEntry:
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".stream-", dir=cache_dir) as folder:
            return _prepare_in(Path(folder), corpus, settings)
    except OSError as error:
        reason = reason_of(error)
        raise UserError(
            f"the cache folder {cache_dir} cannot be written ({reason}): set paths.cache_dir to a writable folder"
        ) from error


def _prepare_in(folder: Path, corpus: RunningText, settings: StreamSettings) -> CacheEntry:
    """Reads the text once into files of provisional ids, then replaces these by vocabulary ids, block by block."""
    words, counts, sizes, text_digest = _read(folder, corpus, settings.tokenizer)
    for split in SPLITS:
        if not sizes[split]:
            remedy = "more text" if split == "train" else "more text or a larger fraction"
            raise UserError(f"the {split} split of {corpus.description} is empty: provide {remedy}")
    vocab = Vocab.build(counts, min_freq=settings.min_freq, max_size=settings.max_size)
    if END_OF_LINE not in vocab:  # fewer lines than min_freq, or other tokens fill max_size
        vocab = Vocab([*vocab.tokens, END_OF_LINE])
    final = np.asarray(vocab.encode(words), dtype=np.int32)
    arrays: Arrays = {}
    for split in SPLITS:
        ids = np.memmap(folder / split, dtype=np.int32, mode="r+", shape=(sizes[split],))
        for start in range(0, len(ids), BLOCK):
            ids[start : start + BLOCK] = final[ids[start : start + BLOCK]]
        arrays[split] = ids
    return CacheEntry(arrays, {"vocab": vocab.tokens, "text_digest": text_digest})


def _read(folder: Path, corpus: RunningText, tokenizer: str) -> tuple[list[str], Counter[str], dict[str, int], str]:
    """Returns all words by provisional id, their training counts, the size of each split, and a digest of the lines."""
    writers = {split: _Writer(folder / split) for split in SPLITS}
    digests = {split: hashlib.sha256() for split in SPLITS}
    read: deque[tuple[str, bool]] = deque()

    def texts() -> Iterator[str]:
        for split, text, ends in track(corpus.lines(), "Preparing lines (once)"):
            digests[split].update(f"{text}\n".encode() if ends else text.encode())
            read.append((split, ends))
            yield text

    ids = TokenIds(make_tokenizer(tokenizer), KNOWN)
    for tokens in ids.read(texts()):
        splits, ends = zip(*(read.popleft() for _ in range(len(tokens))), strict=True)
        marked = tokens.followed_by(KNOWN.index(END_OF_LINE), np.asarray(ends))
        for split in set(splits):
            writers[split].write(marked.rows(np.flatnonzero(np.asarray(splits) == split)).flat)
    for writer in writers.values():
        writer.close()
    words = ids.words
    seen = writers["train"].counts(len(words))
    counts = Counter({word: int(count) for word, count in zip(words, seen, strict=True) if count and word != UNKNOWN})
    text_digest = hashlib.sha256("".join(digest.hexdigest() for digest in digests.values()).encode()).hexdigest()[:16]
    return words, counts, {split: writer.size for split, writer in writers.items()}, text_digest


class _Writer:
    """Writes ids to a file and counts them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self.size = 0

    def write(self, ids: NDArray[np.int32]) -> None:
        added = np.bincount(ids)
        size = max(len(added), len(self._counts))
        self._counts = np.pad(self._counts, (0, size - len(self._counts))) + np.pad(added, (0, size - len(added)))
        self._file.write(ids.tobytes())
        self.size += len(ids)

    def close(self) -> None:
        self._file.close()

    def counts(self, words: int) -> NDArray[np.int64]:
        """Returns the (words,) number of occurrences of each id."""
        return np.pad(self._counts, (0, words - len(self._counts)))
