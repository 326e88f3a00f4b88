"""Captured runs equal uncaptured ones, with a simulated CUDA graph that replays into the same memory."""

from collections.abc import Callable
from typing import Any

import pytest
from recurrent_checks import (
    ALL_CELLS,
    D,
    assert_all_close,
    cell_state,
    gradients,
    make_plan,
    numbers,
    random_cell,
)
from torch import Tensor

from sluice.recurrent.fused import graphs
from sluice.recurrent.scan import scan_fused


def repeat(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Simulates a CUDA graph: every replay overwrites the results of the first run."""
    first = function()

    def replay() -> None:
        for name, value in function().items():
            if isinstance(value, Tensor) and first[name].data_ptr() != value.data_ptr():
                first[name].copy_(value)

    return replay, first


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> graphs.GraphedRuns:
    runs = graphs.GraphedRuns(repeat)
    monkeypatch.setattr(graphs, "RUNS", runs)
    monkeypatch.setattr(graphs, "graphs_enabled", lambda tensor: True)
    return runs


@pytest.mark.parametrize("name", ALL_CELLS)
@pytest.mark.parametrize("native", ["0", "1"])
def test_captured_run_equals_uncaptured_run(
    name: str, native: str, captured: graphs.GraphedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_NATIVE", native)
    cell, plan = random_cell(name), make_plan([4, 4, 4])
    results, expected = [], []
    for seed in (1, 2):  # two calls of one shape: the second must not use the first's memory
        inputs = numbers(4, 3, D, seed=seed).requires_grad_()
        state = cell_state(cell, 3)
        leaves = [inputs, *state, *cell.parameters()]
        for found in (results, expected):
            with monkeypatch.context() as patch:
                if found is expected:
                    patch.setattr(graphs, "graphs_enabled", lambda tensor: False)
                scanned = scan_fused(cell, cell.project(inputs), state, plan, cell.recurrence(3))
            found.append(((*scanned.final, *scanned.states), leaves))
    for (ours, leaves), (theirs, _) in zip(results, expected, strict=True):  # backward after both forward passes
        assert_all_close(ours, theirs)
        assert_all_close(gradients(ours, leaves), gradients(theirs, leaves))
    assert len(captured._graphs) == 2


def test_least_recently_used_shape_is_evicted(captured: graphs.GraphedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MAX_SHAPES", 2)
    cell = random_cell("lstm")
    for steps in (2, 3, 4):
        plan = make_plan([steps, steps])
        scan_fused(cell, cell.project(numbers(steps, 2, D)), cell_state(cell, 2), plan, cell.recurrence(2))
    assert [key[3] for key in captured._graphs] == [3, 4]


def test_only_batches_of_equal_lengths_are_captured(captured: graphs.GraphedRuns) -> None:
    cell, plan = random_cell("lstm"), make_plan([3, 2])
    scan_fused(cell, cell.project(numbers(3, 2, D)), cell_state(cell, 2), plan, cell.recurrence(2))
    assert not captured._graphs
