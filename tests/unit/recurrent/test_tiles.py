"""Tiled matrix products of the C kernels, of various shapes and on several threads."""

from collections.abc import Iterator

import pytest
import torch
from recurrent_checks import ALL_CELLS, assert_fused_equals_steps, make_plan, random_cell

from sluice.recurrent.fused.native import kernels


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    if kernels(torch.zeros(1)) is None:
        pytest.skip("this machine has no C compiler, or it can't build kernels.c")
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ALL_CELLS)
@pytest.mark.parametrize(
    ("lengths", "hidden_size"),
    [([17], 270), ([4] * 5, 130), ([3, 3, 3, 2, 2, 2, 1], 101), ([3] * 6 + [2] * 7, 81), ([2] * 40, 41)],
    ids=["one row", "five rows", "seven rows", "thirteen rows", "forty rows"],
)
def test_tiled_products_equal_the_steps_backend(name: str, lengths: list[int], hidden_size: int, threads: int) -> None:
    cell = random_cell(name, hidden_size=hidden_size, recurrent_dropout=0.5 if threads > 2 else 0.0)
    cell.weight_hh.data /= hidden_size**0.5  # limits the growth of rounding errors
    assert_fused_equals_steps(cell, make_plan(lengths))
