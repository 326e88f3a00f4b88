"""Texts as arrays of token ids, tokenised by several processes if there are many."""

import multiprocessing
import os
import signal
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sluice.data.ragged import Ragged
from sluice.errors import UserError
from sluice.signals import available, end_with_parent
from sluice.text.tokenizers import Tokenizer

CHUNK = 2**20
"""Characters that are tokenised at a time."""
FEW_CHUNKS = 4
"""Chunks up to which starting processes does not pay off."""
AHEAD = 2
"""Chunks per process that are read before the first result is returned."""
MAX_PROCESSES = 8
"""With more, this process would have to read and merge faster than it can."""


class TokenizedChunk(NamedTuple):
    """Tokenised texts with ids of their own."""

    words: list[str]
    """Token of each id, in order of first appearance."""
    texts: Ragged


class TokenIds:
    """Assigns ids to tokens in the order of their first appearance.

    Example:
        >>> ids = TokenIds(str.split, known=["<unk>"])
        >>> tokens = ids.read_all(["a b a", "c"])
        >>> tokens.flat.tolist(), tokens.lengths.tolist()
        ([1, 2, 1, 3], [3, 1])
        >>> ids.words
        ['<unk>', 'a', 'b', 'c']
    """

    def __init__(self, tokenize: Tokenizer, known: Sequence[str] = ()) -> None:
        """
        Args:
            tokenize: splits a text into tokens.
            known: tokens with the first ids.
        """
        self._tokenize = tokenize
        self._ids = {word: index for index, word in enumerate(known)}

    @property
    def words(self) -> list[str]:
        """Token of each id."""
        return list(self._ids)

    def read(self, texts: Iterable[str]) -> Iterator[Ragged]:
        """Yields the ids of the texts, many texts at a time.

        Few texts, or texts on one core, are tokenised in this process.

        Args:
            texts: the texts; some are read before the result of earlier ones is returned.

        Raises:
            UserError: if a process that tokenises is killed.
        """
        for words, chunk in _tokenized(self._tokenize, _chunks(texts)):
            ids = np.asarray([self._ids.setdefault(word, len(self._ids)) for word in words], dtype=np.int32)
            yield Ragged(ids[chunk.flat], chunk.offsets)

    def read_all(self, texts: Iterable[str]) -> Ragged:
        """Returns the ids of all texts."""
        return Ragged.concatenated(self.read(texts))


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk, size = list[str](), 0
    for text in texts:
        chunk.append(text)
        size += len(text) + 1
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _tokenized(tokenize: Tokenizer, chunks: Iterator[list[str]]) -> Iterator[TokenizedChunk]:
    first = list(islice(chunks, FEW_CHUNKS + 1))
    processes = _num_processes() if len(first) > FEW_CHUNKS else 1
    every = chain(first, chunks)
    pool = _started_pool(tokenize, processes) if processes > 1 else None
    if pool is None:
        yield from (_tokenize_chunk(tokenize, chunk) for chunk in every)
        return
    try:
        pending: deque[Future[TokenizedChunk]] = deque()
        for chunk in every:
            pending.append(pool.submit(_tokenize_in_worker, chunk))
            if len(pending) > AHEAD * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "a process that tokenised texts ended, maybe for lack of memory: use a machine with more memory, or fewer "
            "cores (taskset)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _num_processes() -> int:
    """Returns the number of processes that tokenise.

    Processes are forked, on Linux only: elsewhere Python starts them by importing the main script, which may lack the
    guard for it. Daemonic processes, such as the workers of a DataLoader, must not start any.
    """
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 1
    return min(MAX_PROCESSES, len(os.sched_getaffinity(0)))


def _started_pool(tokenize: Tokenizer, processes: int) -> ProcessPoolExecutor | None:
    """Returns a pool whose processes run; None if the system refuses to start them."""
    others = set(multiprocessing.active_children())
    try:
        pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _start_worker, (tokenize,))
        pool.submit(int)  # starts the processes
        return pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
            process.join()
        if isinstance(error, OSError | NotImplementedError):
            return None
        raise


def _tokenize_chunk(tokenize: Tokenizer, chunk: Sequence[str]) -> TokenizedChunk:
    ids: dict[str, int] = {}
    flat, lengths = array("i"), array("q")
    for text in chunk:
        tokens = tokenize(text)
        flat.extend([ids.setdefault(token, len(ids)) for token in tokens])
        lengths.append(len(tokens))
    return TokenizedChunk(list(ids), Ragged.from_lengths(np.asarray(flat, dtype=np.int32), lengths))


_tokenize_of_worker: Callable[[str], list[str]]


def _start_worker(tokenize: Tokenizer) -> None:
    global _tokenize_of_worker
    _tokenize_of_worker = tokenize
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for each in available("SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP"):  # the parent handles them
        signal.signal(each, signal.SIG_IGN)


def _tokenize_in_worker(chunk: Sequence[str]) -> TokenizedChunk:
    return _tokenize_chunk(_tokenize_of_worker, chunk)


def token_counts(tokens: NDArray[np.int32], words: Sequence[str]) -> dict[str, int]:
    """Returns the number of occurrences of each word that occurs.

    Args:
        tokens: ids of any shape.
        words: token of each id.
    """
    counts = np.bincount(tokens.ravel(), minlength=len(words))
    return {word: int(count) for word, count in zip(words, counts, strict=True) if count}
