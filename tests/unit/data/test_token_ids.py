"""Token ids, in this process and in several."""

import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from sluice.data import token_ids
from sluice.data.classification import TextSettings, prepare_corpus
from sluice.data.corpus import SPLITS, Document, Line, Sources
from sluice.data.parallel import ParallelSettings, prepare_parallel
from sluice.data.ragged import Ragged
from sluice.data.running_text import StreamSettings, prepare_text
from sluice.data.token_ids import TokenIds, token_counts
from sluice.errors import UserError

TEXTS = [f"{'word ' * (number % 4)}only{number}" for number in range(60)] + ["", "word"]

several_processes = pytest.mark.skipif(sys.platform != "linux", reason="processes tokenise on Linux only")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_ids, "CHUNK", 50)
    monkeypatch.setattr(token_ids, "_num_processes", lambda: 2)


def words_of(ids: TokenIds, tokens: Ragged) -> list[list[str]]:
    return [[ids.words[index] for index in row] for row in (tokens[number] for number in range(len(tokens)))]


def test_ids_are_in_order_of_first_appearance() -> None:
    ids = TokenIds(str.split, known=["<unk>"])
    tokens = ids.read_all(TEXTS)
    assert words_of(ids, tokens) == [text.split() for text in TEXTS]
    assert ids.words == list(dict.fromkeys(["<unk>", *chain.from_iterable(text.split() for text in TEXTS)]))


def test_no_text_has_no_rows() -> None:
    tokens = TokenIds(str.split).read_all([])
    assert (len(tokens), tokens.flat.dtype) == (0, np.int32)


@several_processes
@pytest.mark.usefixtures("small_chunks")
def test_several_processes_give_the_same_ids() -> None:
    tokenized_by = set[int]()

    def tokenize(text: str) -> list[str]:
        return [*text.split(), f"process{os.getpid()}"]

    ids = TokenIds(tokenize)
    for row in words_of(ids, ids.read_all(TEXTS)):
        tokenized_by.add(int(row.pop().removeprefix("process")))
    assert os.getpid() not in tokenized_by
    alone, together = TokenIds(str.split), TokenIds(str.split)
    expected = Ragged.concatenated([token_ids._tokenize_chunk(str.split, TEXTS).texts])
    assert together.read_all(TEXTS).flat.tolist() == expected.flat.tolist()
    assert (alone.read_all(TEXTS[:2]).flat.tolist(), alone.words) == ([0, 1, 2], ["only0", "word", "only1"])


@several_processes
@pytest.mark.usefixtures("small_chunks")
def test_texts_are_not_read_far_ahead() -> None:
    read = list[str]()

    def texts() -> Iterator[str]:
        for text in TEXTS * 20:
            read.append(text)
            yield text

    parts = TokenIds(str.split).read(texts())
    next(parts)
    assert len(read) < len(TEXTS)
    parts.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


@several_processes
@pytest.mark.usefixtures("small_chunks")
def test_errors_of_processes_are_raised() -> None:
    def refuse(text: str) -> list[str]:
        raise UserError(f"cannot read {text[:4]}")

    with pytest.raises(UserError, match="cannot read only"):
        TokenIds(refuse).read_all(TEXTS)
    assert not multiprocessing.active_children()


@several_processes
@pytest.mark.usefixtures("small_chunks")
def test_killed_process_is_reported() -> None:
    def kill(text: str) -> list[str]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    with pytest.raises(UserError, match="a process that tokenised texts ended, maybe for lack of memory"):
        TokenIds(kill).read_all(TEXTS)


@several_processes
@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("error", [BlockingIOError, NotImplementedError])
def test_without_processes_this_one_tokenises(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    fork, calls = os.fork, itertools.count()

    def refuse() -> int:
        if next(calls):
            raise error
        return fork()

    monkeypatch.setattr(os, "fork", refuse)
    ids = TokenIds(str.split)
    assert words_of(ids, ids.read_all(TEXTS)) == [text.split() for text in TEXTS]
    assert next(calls) == 2
    assert not multiprocessing.active_children()


def read_endlessly(connection: Connection) -> None:
    for number, _ in enumerate(TokenIds(str.split).read(f"word{number}" for number in itertools.count())):
        if number == 3:
            connection.send([child.pid for child in multiprocessing.active_children()])


@several_processes
@pytest.mark.usefixtures("small_chunks")
def test_processes_end_with_a_killed_parent() -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    parent = context.Process(target=read_endlessly, args=(sender,))
    parent.start()
    children = receiver.recv()
    assert len(children) == 2
    parent.kill()
    parent.join()
    end = time.monotonic() + 10
    while any(is_running(pid) for pid in children):
        assert time.monotonic() < end, "the processes live on"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(token_ids, "_num_processes", lambda: 1)
    return monkeypatch


class Corpus:
    """The same texts as running text, documents and sentence pairs."""

    name, labels, description, sources = "file", ("neg", "pos"), "made in a test", Sources("1")
    source_language, target_language = "en", "en"

    def lines(self) -> Iterator[Line]:
        for number, text in enumerate([*TEXTS, "<eos> in a text"] * 3):
            yield Line(SPLITS[number // 65 % 3], text, ends=number % 5 != 0)

    def documents(self) -> Iterator[Document]:
        for number, text in enumerate(TEXTS):
            yield Document(SPLITS[number % 3], text, label=number % 2)

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        for number, text in enumerate(TEXTS):
            yield SPLITS[number % 3], text, f"{number} {text}"


def prepared_files(folder: Path) -> dict[str, bytes]:
    """The contents of the caches of a running text, a classification and a parallel corpus."""
    prepare_text(Corpus(), StreamSettings(), folder)
    prepare_corpus(Corpus(), TextSettings(), folder)
    prepare_parallel(Corpus(), ParallelSettings(min_freq=1), folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


@several_processes
def test_prepared_corpora_do_not_depend_on_the_processes(tmp_path: Path, one_process: pytest.MonkeyPatch) -> None:
    expected = prepared_files(tmp_path / "together")
    one_process.setattr(token_ids, "CHUNK", 50)
    assert prepared_files(tmp_path / "chunks") == expected
    one_process.setattr(token_ids, "_num_processes", lambda: 2)
    assert prepared_files(tmp_path / "processes") == expected
    assert len(expected) > 20


def test_counts_of_the_words_that_occur() -> None:
    assert token_counts(np.asarray([2, 0, 2], dtype=np.int32), ["a", "b", "c"]) == {"a": 1, "c": 2}
