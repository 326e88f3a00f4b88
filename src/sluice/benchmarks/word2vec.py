"""sluice bench word2vec: how fast word vectors are trained, beside gensim."""

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
GENSIM_MISSING = "gensim is not installed: pip install gensim sets it beside."


class Sentences(NamedTuple):
    """The training text's lines, words that are too rare left out."""

    lines: list[list[str]]
    ids: dict[str, int]
    description: str

    def flat(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of all words, and where the lines begin."""
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
    """Times whole epochs of Sluice and gensim on the same lines of words, in turn.

    Both leave out frequent words by the same formula and draw each word's width from 1 to the window, so that their
    epochs have the same number of pairs on average; that of Sluice's, counted, stands for both.

    Args:
        data_dir: where WikiText-2 lies; None takes SLUICE_DATA's, or the generated sample.
        method: "skipgram" or "cbow".
        size: D.
        window: W.
        negatives: K.
        threads: of Sluice; of gensim, workers.
        runs: counted epochs of each.
        as_json: one JSON object a row instead of a table.

    Raises:
        UserError: for a method that doesn't exist, or a folder without WikiText-2.
    """
    _check_method(method)
    sentences = _sentences(_corpus(data_dir))
    flat, offsets = sentences.flat()
    windows = WordWindows(flat, offsets, vocab_size=len(sentences.ids), window=window, sample=SUBSAMPLING)
    pairs = sum(blocks.pairs for blocks in windows.epoch(0, BATCH_BLOCKS))
    with _num_threads(threads):
        network = Word2Vec(vocab_size=len(sentences.ids), size=size, method=method, negatives=negatives)
        ways: dict[str, Callable[[], None]] = {"sluice": _sluice_epoch(network, windows)}
        if importlib.util.find_spec("gensim"):
            settings = {"vector_size": size, "window": window, "negative": negatives, "sg": int(method == "skipgram")}
            ways["gensim"] = _gensim_epoch(sentences, {**settings, "workers": threads})
        seconds = median_seconds(ways, runs)
    rows = [{"who": name, "seconds": taken, "pairs/s": pairs / taken} for name, taken in seconds.items()]
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
        raise UserError(f"there is no WikiText-2 in {data_dir}: name the folder that has it, or leave --data-dir out")
    return found or SampleText(size=SAMPLE_REVIEWS)


def _sentences(corpus: RunningText) -> Sentences:
    lines = [line.text.split() for line in corpus.lines() if line.split == "train"]
    counts = Counter(word for line in lines for word in line if word != UNKNOWN)
    ids = {word: place for place, (word, count) in enumerate(counts.most_common()) if count >= MIN_FREQ}
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
    table = Table(title=f"An epoch: {title}", title_justify="left", box=None)
    for heading in ("", "seconds", "pairs/s", "× gensim"):
        table.add_column(heading, justify="right")
    theirs = next((row["pairs/s"] for row in rows if row["who"] == "gensim"), None)
    for row in rows:
        times = "" if theirs is None else f"{row['pairs/s'] / theirs:.2f}"
        table.add_row(row["who"], f"{row['seconds']:.2f}", f"{row['pairs/s']:,.0f}", times)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    if theirs is None:
        console.print(GENSIM_MISSING)
