"""Batches: padding, collate functions, and moving to a device."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sluice.data.collate import Batch, ParallelBatch, SequenceBatch, TextBatch, TextCollator, TextPairBatch, pad
from sluice.data.ragged import Ragged
from sluice.data.streams import ChunkBatch
from sluice.data.word2vec import WindowBatch
from sluice.options import TRUNCATIONS
from sluice.text.vocab import PADDING_ID
from sluice.text.word_windows import Blocks
from standin_gpu import GPU, OnGPU, standin_gpu, waits

KINDS = (TextBatch, ChunkBatch, ParallelBatch, SequenceBatch, TextPairBatch, WindowBatch)
ON_CPU = {"lengths", "source_lengths", "target_lengths", "index"}


def zero_batch(kind: Any) -> Any:
    values: dict[str, Any] = {
        entry.name: torch.zeros(2, 3, dtype=torch.int64) for entry in fields(kind) if entry.type in ("Tensor", Tensor)
    }
    values |= {"first": True, "tokens": 6} if kind is ChunkBatch else {}
    if kind is WindowBatch:
        values |= {"blocks": Blocks(*(torch.zeros(2) for _ in Blocks._fields)), "pairs": 3, "tokens": 5}
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS)
def test_pinned_batch_moves_without_synchronising(kind: type[Batch]) -> None:
    with standin_gpu():
        moved = zero_batch(kind).pin_memory().to(GPU)
        assert waits == []
    for entry in fields(kind):  # type: ignore[arg-type]
        value = getattr(moved, entry.name)
        parts = value if isinstance(value, Blocks) else [value]
        for part in parts:
            if isinstance(part, torch.Tensor):
                assert isinstance(part, OnGPU) == (entry.name not in ON_CPU), entry.name


def test_none_fields_stay_none() -> None:
    batch = zero_batch(TextPairBatch)
    assert batch.to("cpu").deciding is None


def test_to_changes_the_dtype() -> None:
    assert zero_batch(ChunkBatch).to("cpu", dtype=torch.int32).inputs.dtype == torch.int32


TEXTS = [[5, 6, 7, 8, 9], [4], [2, 3], [9, 8, 7]]


def ragged(sequences: list[list[int]]) -> Ragged:
    flat = np.asarray([token for sequence in sequences for token in sequence], dtype=np.int32)
    return Ragged(flat, np.cumsum([0, *map(len, sequences)], dtype=np.int64))


def shortened(text: list[int], most: int, truncation: str) -> list[int]:
    head = {"head": most, "tail": 0, "head_tail": most // 2}[truncation]
    return text if len(text) <= most else text[:head] + text[len(text) - (most - head) :]


def padded(texts: list[list[int]]) -> list[list[int]]:
    longest = max(map(len, texts))
    return [text + [PADDING_ID] * (longest - len(text)) for text in texts]


def make_batch(indices: list[int], *, max_length: int = 10, truncation: str = "head") -> TextBatch:
    labels = np.asarray([0, 1, 1, 0])
    return TextCollator(ragged(TEXTS), labels, max_length=max_length, truncation=truncation)(indices)


@settings(deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(2, 99), min_size=1, max_size=8), min_size=1, max_size=6),
    most=st.integers(1, 9),
    truncation=st.sampled_from(TRUNCATIONS),
    data=st.data(),
)
def test_padding_equals_a_plain_loop(texts: list[list[int]], most: int, truncation: str, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=8))
    expected = [shortened(texts[i], most, truncation) for i in chosen]
    ids, lengths = pad(ragged(texts), np.asarray(chosen), most, truncation)
    assert ids.tolist() == padded(expected)
    assert lengths.tolist() == [len(text) for text in expected]


def test_batch_is_in_the_given_order() -> None:
    batch = make_batch([2, 0, 3], max_length=4)
    assert batch.ids.tolist() == [[2, 3, PADDING_ID, PADDING_ID], [5, 6, 7, 8], [9, 8, 7, PADDING_ID]]
    assert batch.lengths.tolist() == [2, 4, 3]
    assert batch.labels.tolist() == [1, 0, 0]
    assert batch.index.tolist() == [2, 0, 3]
    assert len(batch) == 3
    assert batch.tokens == 9


def test_tensors_are_int64_on_the_cpu() -> None:
    batch = make_batch([1, 2])
    for tensor in (batch.ids, batch.lengths, batch.labels, batch.index):
        assert (tensor.dtype, tensor.device.type) == (torch.int64, "cpu")


def test_left_padding_precedes_the_tokens() -> None:
    collate = TextCollator(
        ragged(TEXTS), np.zeros(len(TEXTS), dtype=np.int64), max_length=3, truncation="head", padding="left"
    )
    batch = collate([0, 1, 2])
    assert batch.ids.tolist() == [[5, 6, 7], [PADDING_ID, PADDING_ID, 4], [PADDING_ID, 2, 3]]
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.padding_fraction == pytest.approx(3 / 9)


def test_width_is_that_of_the_longest_text() -> None:
    assert make_batch([1, 2], max_length=400).ids.shape == (2, 2)


def test_batches_are_copies() -> None:
    texts, labels = ragged(TEXTS), np.asarray([0, 1, 1, 0])
    batch = TextCollator(texts, labels, max_length=10, truncation="head")([0, 1])
    for tensor in (batch.ids, batch.lengths, batch.labels):
        tensor.fill_(77)
    assert texts.flat.tolist() == [5, 6, 7, 8, 9, 4, 2, 3, 9, 8, 7]
    assert labels.tolist() == [0, 1, 1, 0]


def test_read_only_arrays_are_accepted() -> None:
    texts, labels = ragged(TEXTS), np.asarray([0, 1, 1, 0])
    for array in (texts.flat, texts.offsets, labels):
        array.flags.writeable = False
    batch = TextCollator(texts, labels, max_length=10, truncation="head")([1, 2])
    assert batch.ids.tolist() == [[4, PADDING_ID], [2, 3]]


def test_lengths_stay_on_the_cpu_when_the_batch_moves() -> None:
    batch = make_batch([0, 1])
    moved = batch.to(torch.device("meta"), non_blocking=True)
    assert (moved.ids.device.type, moved.labels.device.type) == ("meta", "meta")
    assert (moved.lengths.device.type, moved.index.device.type) == ("cpu", "cpu")
    assert moved.lengths.tolist() == [5, 1]
    assert moved.ids.shape == batch.ids.shape
