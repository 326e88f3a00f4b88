"""Batches move to a device as a whole, without waiting for it."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from sluice.data.batch import Batch
from sluice.data.batches import TextBatch
from sluice.data.chunks import ChunkBatch
from sluice.data.pair_batches import PairBatch
from sluice.data.sequence_batches import SequenceBatch
from sluice.data.text_pair_batches import TextPairBatch
from sluice.data.windows import WindowBatch
from sluice.text.word_windows import Blocks
from standin_gpu import GPU, OnGPU, standin_gpu, waits

KINDS = (TextBatch, ChunkBatch, PairBatch, SequenceBatch, TextPairBatch, WindowBatch)
ON_CPU = {"lengths", "source_lengths", "target_lengths", "index"}


def made(kind: Any) -> Any:
    values: dict[str, Any] = {
        entry.name: torch.zeros(2, 3, dtype=torch.int64) for entry in fields(kind) if entry.type in ("Tensor", Tensor)
    }
    values |= {"first": True, "tokens": 6} if kind is ChunkBatch else {}
    if kind is WindowBatch:
        values |= {"blocks": Blocks(*(torch.zeros(2) for _ in Blocks._fields)), "pairs": 3, "tokens": 5}
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_batch_moves_without_waiting(kind: type[Batch]) -> None:
    with standin_gpu():
        moved = made(kind).pin_memory().to(GPU)
        assert waits == []
    for entry in fields(kind):  # type: ignore[arg-type]
        value = getattr(moved, entry.name)
        parts = value if isinstance(value, Blocks) else [value]
        for part in parts:
            if isinstance(part, torch.Tensor):
                assert isinstance(part, OnGPU) == (entry.name not in ON_CPU), entry.name


def test_a_missing_field_stays_missing() -> None:
    batch = made(TextPairBatch)
    assert batch.to("cpu").deciding is None


def test_a_batch_can_change_its_type() -> None:
    assert made(ChunkBatch).to("cpu", dtype=torch.int32).inputs.dtype == torch.int32
