"""Stepping through a stack equals running it, in values and gradients, for every cell."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from sluice.recurrent.stepping import StackStepper

CELLS_OF_SLUICE = sorted(name for name, cell in CELLS.items() if cell.__module__.startswith("sluice."))
BATCH, STEPS, INPUTS, KNOWN = 3, 4, 5, 2


def by_steps(stack: RecurrentStack, inputs: Tensor, known: int) -> tuple[Tensor, Any]:
    steps = StackStepper(stack, BATCH, known)
    states = steps.split_state(stack.make_initial_state(BATCH))
    outputs = []
    carried = inputs[..., known:].unbind(1)
    for step, projected in enumerate(steps.project(inputs[..., :known]).unbind(1)):
        output, states = steps.step(projected, carried[step] if known < INPUTS else None, states)
        outputs.append(output)
    return torch.stack(outputs, 1), steps.join_state(states)


@pytest.mark.parametrize("known", [KNOWN, INPUTS])
@pytest.mark.parametrize("cell", CELLS_OF_SLUICE)
def test_steps_equal_one_pass(cell: str, known: int) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"input_size": INPUTS, "hidden_size": 6, "num_layers": 3, "residual": True}
    stack = RecurrentStack(cell=cell, initial_state="learned", **shape).double()
    inputs = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.float64, requires_grad=True)
    outputs, state = stack(inputs, torch.full((BATCH,), STEPS))
    own_outputs, own_state = by_steps(stack, inputs, known)
    assert torch.allclose(own_outputs, outputs)
    for mine, theirs in zip(own_state, state, strict=True):
        assert torch.allclose(mine, theirs)
    parameters = [inputs, *stack.parameters()]
    for mine, theirs in zip(
        torch.autograd.grad((own_outputs**2).sum(), parameters),
        torch.autograd.grad((outputs**2).sum(), parameters),
        strict=True,
    ):
        assert torch.allclose(mine, theirs)


def test_recurrent_dropout_is_drawn_once_per_run() -> None:
    torch.manual_seed(0)
    stack = RecurrentStack(cell="gru", input_size=INPUTS, hidden_size=6, options=CellOptions(recurrent_dropout=0.5))
    inputs = torch.randn(BATCH, STEPS, INPUTS)
    torch.manual_seed(1)
    expected = stack(inputs, torch.full((BATCH,), STEPS)).outputs
    torch.manual_seed(1)
    outputs, _ = by_steps(stack, inputs, KNOWN)
    assert torch.allclose(outputs, expected, atol=1e-6)


def test_bidirectional_stack_is_refused() -> None:
    stack = RecurrentStack(cell="gru", input_size=INPUTS, hidden_size=6, bidirectional=True)
    with pytest.raises(ValueError, match="backward direction starts at the end"):
        StackStepper(stack, BATCH, KNOWN)


@pytest.mark.parametrize("variational", [True, False])
def test_variational_dropout_between_layers_is_one_mask_per_run(variational: bool) -> None:
    """Gal & Ghahramani (2016), section 4: the same units are dropped at every step of a sequence."""
    torch.manual_seed(0)
    options = CellOptions(activation="identity")
    stack = RecurrentStack(
        cell="rnn",
        input_size=INPUTS,
        hidden_size=64,
        num_layers=2,
        dropout=0.5,
        variational=variational,
        options=options,
    )
    second = stack.cell_list()[1]
    with torch.no_grad():  # the second layer passes its input on
        second.weight_hh.zero_()
        second.weight_ih.copy_(torch.eye(64))
        second.bias_ih.zero_()
        second.bias_hh.zero_()
    outputs, _ = by_steps(stack, torch.randn(BATCH, STEPS, INPUTS), KNOWN)
    dropped = outputs == 0
    assert 0.3 < dropped.float().mean() < 0.7
    assert bool((dropped == dropped[:, :1]).all()) == variational
    assert not (dropped[0] == dropped[1]).all(), "each sequence has its own mask"
