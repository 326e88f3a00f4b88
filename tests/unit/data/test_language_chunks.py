"""Streams and chunks: every token is predicted once, from the previous token, on any number of ranks."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.samplers import ChunkSampler
from sluice.data.streams import ChunkBatch, Streams
from sluice.layers.output_loss import IGNORED

END = 10_000
"""End-of-line id, distinct from the tokens of texts that count from 0."""

sizes = st.integers(1, 60)
counts = st.integers(1, 7)


def counting(tokens: int, streams: int, **options: object) -> Streams:
    """Streams of the text 0, 1, 2, ..., whose tokens equal their positions."""
    settings = {"contiguous": False, **options}
    return Streams(np.arange(tokens, dtype=np.int32), streams=streams, end_id=END, **settings)  # type: ignore[arg-type]


def chunks(streams: Streams, chunk_length: int, **options: object) -> list[ChunkBatch]:
    sampler = ChunkSampler(len(streams), chunk_length=chunk_length, **options)  # type: ignore[arg-type]
    return [streams[chunk] for chunk in sampler]


def concatenated(batches: list[ChunkBatch]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets (B, length) of the complete streams."""
    return torch.cat([batch.inputs for batch in batches], 1), torch.cat([batch.targets for batch in batches], 1)


@given(sizes, counts, counts, st.integers(1, 20), st.booleans(), st.booleans())
def test_every_token_is_predicted_once_from_the_previous_one(
    tokens: int, streams_per_rank: int, ranks: int, chunk_length: int, contiguous: bool, variable: bool
) -> None:
    streams = streams_per_rank * ranks if contiguous else streams_per_rank
    seen: list[int] = []
    for rank in range(ranks):
        part = counting(tokens, streams, rank=rank, world_size=ranks, contiguous=contiguous)
        for batch in chunks(part, chunk_length, variable=variable):
            assert batch.inputs.shape == batch.targets.shape
            assert batch.inputs.dtype == batch.targets.dtype == torch.int64
            counted = batch.targets != IGNORED
            assert batch.tokens == counted.sum()
            before, after = batch.inputs[counted], batch.targets[counted]
            assert torch.equal(before, torch.where(after == 0, END, after - 1))
            assert ((batch.inputs[~counted] >= 0) & (batch.inputs[~counted] <= END)).all()
            seen += after.tolist()
    assert sorted(seen) == list(range(tokens))


@given(sizes, counts, st.integers(1, 20))
def test_streams_continue_between_chunks(tokens: int, streams: int, chunk_length: int) -> None:
    batches = chunks(counting(tokens, streams), chunk_length)
    assert [batch.first for batch in batches] == [True] + [False] * (len(batches) - 1)
    _, targets = concatenated(batches)
    for row in targets:
        inside = row[: int((row != IGNORED).sum())]
        assert (row[len(inside) :] == IGNORED).all()
        assert torch.equal(inside, inside[:1] + torch.arange(len(inside)))


@given(sizes, counts, counts, st.integers(1, 20), st.booleans())
def test_ranks_read_the_streams_of_one_process(
    tokens: int, streams_per_rank: int, ranks: int, chunk_length: int, contiguous: bool
) -> None:
    streams = streams_per_rank * ranks if contiguous else streams_per_rank
    alone = concatenated(chunks(counting(tokens, streams), chunk_length))
    for rank in range(ranks):
        part = counting(tokens, streams, rank=rank, world_size=ranks, contiguous=contiguous)
        batches = chunks(part, chunk_length)
        rows = slice(rank * streams_per_rank, (rank + 1) * streams_per_rank) if contiguous else slice(rank, None, ranks)
        if not len(alone[0][rows]):
            assert all(batch.tokens == 0 and len(batch) == 1 for batch in batches)
            assert concatenated(batches)[0].shape[1] == alone[0].shape[1], "an empty stream has all steps"
            continue
        for ours, theirs in zip(concatenated(batches), alone, strict=True):
            assert torch.equal(ours, theirs[rows])


def test_streams_match_an_example() -> None:
    """Ten tokens in three streams of four steps: the last stream is two steps shorter."""
    first, second = chunks(counting(10, 3), 3)
    assert first.inputs.tolist() == [[END, 0, 1], [3, 4, 5], [7, 8, END]]
    assert first.targets.tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, IGNORED]]
    assert second.targets.tolist() == [[3], [7], [IGNORED]]
    assert (first.tokens, second.tokens) == (8, 2)
    assert (len(first), len(second)) == (3, 3)


def test_batch_moves_to_a_device() -> None:
    (batch,) = chunks(counting(8, 2), 4)
    moved = batch.to("meta")
    assert moved.inputs.device.type == moved.targets.device.type == "meta"
    assert (moved.first, moved.tokens) == (True, 8)
