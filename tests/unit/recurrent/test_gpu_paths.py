"""Every cell and backend on a simulated GPU: no tensor stays on the CPU, and values equal those on the CPU."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.scan import force_backend
from standin_gpu import GPU, OnGPU, standin_gpu, to_gpu, waits

LENGTHS = torch.tensor([5, 2, 7, 1])
IDS = torch.tensor([[1, 2, 3, 4, 5, 0, 0], [3, 1, 0, 0, 0, 0, 0], [2, 2, 5, 1, 3, 4, 1], [5, 0, 0, 0, 0, 0, 0]])


def make_stack(cell: str, *, one_hot: bool) -> RecurrentStack:
    torch.manual_seed(0)
    options = CellOptions(recurrent_dropout=0.3, weight_dropout=0.2)
    sizes: dict[str, Any] = {"input_size": 6, "hidden_size": 3, "bidirectional": True}
    return RecurrentStack(cell=cell, one_hot=one_hot, options=options, initial_state="learned", **sizes)


def run(stack: RecurrentStack, inputs: Any, backend: str) -> list[Tensor]:
    """Outputs, final state and gradients."""
    torch.manual_seed(1)
    with force_backend(backend):
        outputs, state = stack(inputs, LENGTHS)
    (outputs.square().sum() + sum(part.sin().sum() for part in state)).backward()
    return [outputs, *state, *(part.grad for part in stack.parameters() if part.grad is not None)]


@pytest.mark.parametrize(("backend", "one_hot"), [("fused", False), ("fused", True), ("steps", False)])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_cell_runs_on_a_gpu_without_synchronisation(cell: str, backend: str, one_hot: bool) -> None:
    here = make_stack(cell, one_hot=one_hot)
    there = copy.deepcopy(here)
    given: Any = torch.nn.functional.one_hot(IDS, 6).float()
    expected = run(here, OneHot(IDS, 6) if one_hot else given, backend)
    with standin_gpu():
        to_gpu(there)
        moved: Any = OneHot(IDS.to(GPU), 6) if one_hot else given.to(GPU)
        waits.clear()
        found = run(there, moved, backend)
        assert waits == []
    assert len(found) == len(expected) > 5
    for value, wanted in zip(found, expected, strict=True):
        assert isinstance(value, OnGPU)
        torch.testing.assert_close(value.held, wanted, rtol=1e-3, atol=1e-4)
