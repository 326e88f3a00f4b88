"""Pieces of streams and numbers of batches: the same in every epoch, or others, and resumable within one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.data.samplers import BatchIndex, Chunk, ChunkSampler, EpochSampler


def test_the_sampler_goes_on_in_mid_epoch_and_the_next_epoch_is_whole() -> None:
    sampler = EpochSampler(4)
    sampler.start_at(2, 3)
    sampler.set_epoch(2)
    assert list(sampler) == [BatchIndex(2, 3)]
    sampler.set_epoch(3)
    assert list(sampler) == [BatchIndex(3, number) for number in range(4)]


@given(st.integers(1, 400), st.integers(1, 40), st.booleans(), st.integers(0, 5))
def test_pieces_cover_everything_in_as_many_in_every_epoch(
    length: int, chunk_length: int, variable: bool, seed: int
) -> None:
    sampler = ChunkSampler(length, chunk_length=chunk_length, variable=variable, seed=seed)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        pieces = list(sampler)
        assert len(pieces) == len(sampler) == -(-length // chunk_length)
        assert pieces[0].start == 0
        assert all(piece.steps >= 1 for piece in pieces)
        assert all(after.start == piece.start + piece.steps for piece, after in pairwise(pieces))
        assert pieces[-1].start + pieces[-1].steps == length
        assert variable or all(piece.steps == chunk_length for piece in pieces[:-1])
        assert pieces == list(sampler), "an epoch is what it is"


def test_variable_pieces_are_others_in_every_epoch_and_for_every_seed() -> None:
    found = []
    for seed in (1, 2):
        sampler = ChunkSampler(5000, chunk_length=50, variable=True, seed=seed)
        for epoch in (0, 1, 2):
            sampler.set_epoch(epoch)
            found.append(tuple(sampler))
    assert len(set(found)) == 6


def test_variable_pieces_vary_as_in_the_paper() -> None:
    """One in twenty around half of the length, the others around the length, the deviation five steps."""
    sampler = ChunkSampler(70 * 4000, chunk_length=70, variable=True, seed=3)
    steps = np.asarray([piece.steps for piece in sampler])
    short = steps < 52
    assert 0.035 < short.mean() < 0.065
    scale = 70 / (0.95 * 70 + 0.05 * 35)  # the text's length is given, and so is the number of pieces
    assert steps[~short].mean() == pytest.approx(70 * scale, rel=0.01)
    assert steps[short].mean() == pytest.approx(35 * scale, rel=0.05)
    assert steps[~short].std() == pytest.approx(5 * scale, rel=0.1)


@pytest.mark.parametrize("variable", [False, True])
def test_an_epoch_taken_up_again_has_its_other_pieces_and_the_next_ones_are_whole(variable: bool) -> None:
    whole_one = ChunkSampler(100, chunk_length=7, variable=variable, seed=1)
    again = ChunkSampler(100, chunk_length=7, variable=variable, seed=1)
    again.start_at(2, 5)
    for epoch in (2, 3):
        whole_one.set_epoch(epoch)
        again.set_epoch(epoch)
        assert list(again) == list(whole_one)[5 if epoch == 2 else 0 :]
        assert len(again) == len(whole_one) == 15
    assert list(ChunkSampler(9, chunk_length=4))[1] == Chunk(4, 4)
