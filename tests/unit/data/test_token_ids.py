"""Token ids, in this process and in several."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest

from sluice.data import token_ids
from sluice.data.ragged import Ragged
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


def test_counts_of_the_words_that_occur() -> None:
    assert token_counts(np.asarray([2, 0, 2], dtype=np.int32), ["a", "b", "c"]) == {"a": 1, "c": 2}
