"""sluice bench word2vec: training speed of word vectors, compared with gensim."""

import importlib.util
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sluice.benchmarks.timing import median_seconds
from sluice.data.corpora.wikitext import find_wikitext2
from sluice.data.corpus import RunningText
from sluice.data.synthetic.reviews import SampleText
from sluice.errors import UserError
from sluice.models.word2vec import Word2Vec
from sluice.optim.row_adagrad import RowAdagrad
from sluice.options import WORD2VEC_METHODS
from sluice.plain import Plain
from sluice.text.vocab import UNKNOWN
from sluice.text.word_windows import WordWindows

MIN_FREQ, SUBSAMPLING = 5, 1e-3
BATCH_BLOCKS, LEARNING_RATE = 64, 0.1
SAMPLE_REVIEWS = 4_000
GENSIM_MISSING = "gensim is not installed: pip install gensim to compare with it."


class Sentences(NamedTuple):
    """The lines of the training text, without rare words."""

    lines: list[list[str]]
    """Words of each line."""
    ids: dict[str, int]
    """Ids of the words."""
    description: str
    """Description of the corpus."""

    def flat(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all words, and the offset of each line."""
        flat = np.array([self.ids[word] for line in self.lines for word in line], dtype=np.int32)
        return flat, np.cumsum([0, *map(len, self.lines)])


def bench_word2vec(
    *,
    data_dir: Path | None,
    method: str,
    size: int,
    window: int,
    negatives: int,
    threads: int,
    runs: int,
    as_json: bool,
) -> None:
    """Times epochs of Sluice and gensim on the same text, in interleaved rounds.

    Both subsample frequent words with the same formula and draw each word's window size from 1 to `window`, so that
    their epochs have the same expected number of pairs. The number counted in one epoch of Sluice is used for both.

    Args:
        data_dir: folder of WikiText-2; None for SLUICE_DATA, or else the generated sample.
        method: "skipgram" or "cbow".
        size: D, size of the vectors.
        window: W, maximum number of context words on each side.
        negatives: K, negative samples per pair.
        threads: threads of Sluice, workers of gensim.
        runs: number of timed epochs of each; medians are reported.
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if the method is unknown, or the folder has no WikiText-2.
    """
    _check_method(method)
    sentences = _sentences(_corpus(data_dir))
    flat, offsets = sentences.flat()
    windows = WordWindows(flat, offsets, vocab_size=len(sentences.ids), window=window, sample=SUBSAMPLING)
    pairs = sum(blocks.pairs for blocks in windows.epoch(0, BATCH_BLOCKS))
    with _num_threads(threads):
        network = Word2Vec(vocab_size=len(sentences.ids), size=size, method=method, negatives=negatives)
        epochs: dict[str, Callable[[], None]] = {"sluice": _sluice_epoch(network, windows)}
        if importlib.util.find_spec("gensim"):
            settings = {"vector_size": size, "window": window, "negative": negatives, "sg": int(method == "skipgram")}
            epochs["gensim"] = _gensim_epoch(sentences, {**settings, "workers": threads})
        seconds = median_seconds(epochs, runs)
    rows = [{"library": name, "seconds": taken, "pairs/s": pairs / taken} for name, taken in seconds.items()]
    title = f"{method}, D={size} W={window} K={negatives}, {pairs:,} pairs, {len(sentences.ids):,} words, {threads} "
    title += f"threads, {sentences.description}"
    _report(title, rows, as_json)


def _check_method(method: str) -> None:
    if method not in WORD2VEC_METHODS:
        raise UserError(f"there is no method {method!r}: there are {', '.join(WORD2VEC_METHODS)}")


@contextmanager
def _num_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _corpus(data_dir: Path | None) -> RunningText:
    folder = data_dir or (Path(os.environ["SLUICE_DATA"]) if os.environ.get("SLUICE_DATA") else None)
    found = None if folder is None else find_wikitext2(folder)
    if found is None and data_dir is not None:
        raise UserError(f"there is no WikiText-2 in {data_dir}: name a folder that has it, or omit --data-dir")
    return found or SampleText(size=SAMPLE_REVIEWS)


def _sentences(corpus: RunningText) -> Sentences:
    lines = [line.text.split() for line in corpus.lines() if line.split == "train"]
    counts = Counter(word for line in lines for word in line if word != UNKNOWN)
    ids = {word: index for index, (word, count) in enumerate(counts.most_common()) if count >= MIN_FREQ}
    known = [[word for word in line if word in ids] for line in lines]
    return Sentences([line for line in known if line], ids, corpus.description)


def _sluice_epoch(network: Word2Vec, windows: WordWindows) -> Callable[[], None]:
    optimizer, epochs = RowAdagrad(network.parameters(), lr=LEARNING_RATE), iter(range(1_000_000))

    def epoch() -> None:
        for blocks in windows.epoch(next(epochs), BATCH_BLOCKS):
            network.backward(blocks)
            optimizer.step()

    return epoch


def _gensim_epoch(sentences: Sentences, settings: dict[str, int]) -> Callable[[], None]:
    from gensim.models import Word2Vec as GensimWord2Vec

    model = GensimWord2Vec(sample=SUBSAMPLING, min_count=1, **settings)
    model.build_vocab(sentences.lines)

    def epoch() -> None:
        model.train(sentences.lines, total_examples=model.corpus_count, epochs=1)

    return epoch


def _report(title: str, rows: list[Plain], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "word2vec", "sizes": title, **row}))
        return
    table = Table(title=f"Time per epoch: {title}", title_justify="left", box=None)
    for heading in ("library", "seconds", "pairs/s", "× gensim"):
        table.add_column(heading, justify="right")
    gensim = next((row["pairs/s"] for row in rows if row["library"] == "gensim"), None)
    for row in rows:
        times = "" if gensim is None else f"{row['pairs/s'] / gensim:.2f}"
        table.add_row(row["library"], f"{row['seconds']:.2f}", f"{row['pairs/s']:,.0f}", times)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    if gensim is None:
        console.print(GENSIM_MISSING)
