"""sluice bench prepare: speed and memory of preparing generated texts."""

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from sluice.data.corpora.parallel_files import ParallelFiles
from sluice.data.corpora.text_files import TextFiles
from sluice.data.corpus import SPLITS
from sluice.data.parallel import ParallelSettings, prepare_parallel
from sluice.data.running_text import StreamSettings, prepare_text
from sluice.errors import UserError

WORDS, LONGEST, SENTENCE, EXPONENT = 200_000, 8, 15, 1.05
"""Size of the vocabulary, characters of the longest word, words of a sentence, exponent of Zipf's law."""
BLOCK = 1_000
"""Sentences generated at a time."""
CHARACTERS = "etaoinshrdlucmfwypvbgk"
KIB, MIB = 2**10, 2**20


class Preparation(NamedTuple):
    """The cost of preparing a corpus."""

    work: str
    tokens: int
    seconds: float
    cpu_seconds: float
    """Processor time of all processes."""
    peak_bytes: int
    """Peak memory of the process that writes the cache, above that at the start."""


def bench_prepare(*, megabytes: int, pairs: int, as_json: bool) -> None:
    """Measures the preparation of a running text and of sentence pairs, read from files of random words.

    Args:
        megabytes: size of the text.
        pairs: number of sentence pairs.
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: on other systems than Linux, where memory cannot be measured in a forked process.
    """
    if sys.platform != "linux":
        raise UserError(f"sluice bench prepare measures memory on Linux only, not on {sys.platform}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text, table, small = folder / "text.txt", folder / "pairs.tsv", folder / "small.txt"
        _write(text, columns=1, enough=lambda lines, size: size >= megabytes * 1e6)
        _write(table, columns=2, enough=lambda lines, size: lines >= pairs)
        _write(small, columns=2, enough=lambda lines, size: lines >= BLOCK)
        for prepare in (_prepare_text, _prepare_pairs):
            prepare(small, folder)  # imports, which are not part of the memory of the preparation
        rows = [
            _measured(f"text of {megabytes:,} MB, split at white space", lambda: _prepare_text(text, folder)),
            _measured(f"{pairs:,} sentence pairs, Moses's tokenizer", lambda: _prepare_pairs(table, folder)),
        ]
    _report(rows, as_json)


def _prepare_text(path: Path, folder: Path) -> int:
    prepared = prepare_text(TextFiles(path), StreamSettings(), folder / "cache")
    return sum(len(prepared.splits[split]) for split in SPLITS)


def _prepare_pairs(path: Path, folder: Path) -> int:
    corpus = ParallelFiles(train=path, source_language="en", target_language="en")
    prepared = prepare_parallel(corpus, ParallelSettings(), folder / "cache")
    return sum(len(side.flat) for split in prepared.splits.values() for side in (split.source, split.target))


def _write(path: Path, *, columns: int, enough: Callable[[int, int], bool]) -> None:
    """Writes sentences of random words, `columns` in a line, until there are enough lines or bytes."""
    random = np.random.default_rng(0)
    characters = np.asarray(list(CHARACTERS))[random.integers(0, len(CHARACTERS), (WORDS, LONGEST))]
    longest = characters.view(f"U{LONGEST}")[:, 0]
    lengths = random.integers(2, LONGEST + 1, WORDS)
    words = np.asarray([word[:length] for word, length in zip(longest, lengths, strict=True)])
    probabilities = np.arange(1, WORDS + 1) ** -EXPONENT
    probabilities /= probabilities.sum()
    lines = size = 0
    with path.open("w", encoding="utf-8") as file:
        while not enough(lines, size):
            drawn = words[random.choice(WORDS, size=(BLOCK, columns, SENTENCE), p=probabilities)]
            sentences = ["\t".join(f"{' '.join(sentence)}." for sentence in line) for line in drawn.tolist()]
            lines, size = lines + BLOCK, size + file.write("\n".join(sentences) + "\n")


def _measured(work: str, prepare: Callable[[], int]) -> Preparation:
    """Runs a preparation, which returns the number of tokens, in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_prepare_in_process, args=(prepare, sender))
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        raise UserError(
            f"the process that prepared the {work} was ended, maybe for lack of memory: use less data"
        ) from None
    finally:
        process.join()
    if isinstance(found, UserError):
        raise found
    return Preparation(work, *found)


def _prepare_in_process(prepare: Callable[[], int], sender: Connection) -> None:
    import resource  # not on Windows

    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    try:
        tokens = prepare()
    except UserError as error:
        sender.send(error)
        return
    seconds = time.perf_counter() - started
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    sender.send((tokens, seconds, cpu_seconds, (own.ru_maxrss - before.ru_maxrss) * KIB))


def _report(rows: list[Preparation], as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "prepare", **row._asdict()}))
        return
    table = Table(title="Preparation", title_justify="left", box=None)
    for heading in ("work", "tokens", "time", "tokens/s", "CPU time", "memory"):
        table.add_column(heading, justify="left" if heading == "work" else "right")
    for row in rows:
        numbers = (f"{row.seconds:.1f} s", f"{row.tokens / row.seconds:,.0f}", f"{row.cpu_seconds:.1f} s")
        table.add_row(row.work, f"{row.tokens:,}", *numbers, f"{row.peak_bytes / MIB:,.0f} MiB")
    console = Console(highlight=False)
    console.print(table)
    console.print("Memory: peak of the process that writes the cache, above that at its start.")
