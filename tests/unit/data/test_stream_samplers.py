"""Chunk and epoch samplers: coverage, variable lengths, resuming within an epoch."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.samplers import BatchIndex, Chunk, ChunkSampler, EpochSampler


def test_epoch_sampler_resumes_within_an_epoch() -> None:
    sampler = EpochSampler(4)
    sampler.start_at(2, 3)
    sampler.set_epoch(2)
    assert list(sampler) == [BatchIndex(2, 3)]
    sampler.set_epoch(3)
    assert list(sampler) == [BatchIndex(3, batch) for batch in range(4)]


@given(st.integers(1, 400), st.integers(1, 40), st.booleans(), st.integers(0, 5))
def test_chunks_cover_the_streams_in_every_epoch(length: int, chunk_length: int, variable: bool, seed: int) -> None:
    sampler = ChunkSampler(length, chunk_length=chunk_length, variable=variable, seed=seed)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        chunks = list(sampler)
        assert len(chunks) == len(sampler) == -(-length // chunk_length)
        assert chunks[0].start == 0
        assert all(chunk.steps >= 1 for chunk in chunks)
        assert all(after.start == chunk.start + chunk.steps for chunk, after in pairwise(chunks))
        assert chunks[-1].start + chunks[-1].steps == length
        assert variable or all(chunk.steps == chunk_length for chunk in chunks[:-1])
        assert chunks == list(sampler), "iterating again repeats the epoch"


def test_variable_chunks_depend_on_epoch_and_seed() -> None:
    found = []
    for seed in (1, 2):
        sampler = ChunkSampler(5000, chunk_length=50, variable=True, seed=seed)
        for epoch in (0, 1, 2):
            sampler.set_epoch(epoch)
            found.append(tuple(sampler))
    assert len(set(found)) == 6


def test_variable_chunk_lengths_are_distributed_as_in_the_paper() -> None:
    """5 % around half of the length, the others around the length, with a standard deviation of five steps."""
    sampler = ChunkSampler(70 * 4000, chunk_length=70, variable=True, seed=3)
    steps = np.asarray([chunk.steps for chunk in sampler])
    short = steps < 52
    assert 0.035 < short.mean() < 0.065
    scale = 70 / (0.95 * 70 + 0.05 * 35)  # length and number of chunks are fixed
    assert steps[~short].mean() == pytest.approx(70 * scale, rel=0.01)
    assert steps[short].mean() == pytest.approx(35 * scale, rel=0.05)
    assert steps[~short].std() == pytest.approx(5 * scale, rel=0.1)


@pytest.mark.parametrize("variable", [False, True])
def test_chunk_sampler_resumes_within_an_epoch(variable: bool) -> None:
    complete = ChunkSampler(100, chunk_length=7, variable=variable, seed=1)
    resumed = ChunkSampler(100, chunk_length=7, variable=variable, seed=1)
    resumed.start_at(2, 5)
    for epoch in (2, 3):
        complete.set_epoch(epoch)
        resumed.set_epoch(epoch)
        assert list(resumed) == list(complete)[5 if epoch == 2 else 0 :]
        assert len(resumed) == len(complete) == 15
    assert list(ChunkSampler(9, chunk_length=4))[1] == Chunk(4, 4)
