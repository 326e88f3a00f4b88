"""Operations that torch.export and ONNX express differently, and parts of networks built from them.

Exported networks are written with torch functions that need no size of a dynamic dimension, so that the same function
is run by torch, traced by torch.export, and traced by `sluice.export.tracer` into an ONNX graph.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from sluice.recurrent import Cell, OneHot, RecurrentStack, State
from sluice.recurrent.states import split_state, state_of_tensors

States: TypeAlias = list[State]
"""The state of each layer and direction, tensors (B, H): layers from the bottom, forward before backward."""


class LayerOutput(NamedTuple):
    """Result of `Backend.run_layer`."""

    outputs: Tensor
    """(B, T, directions · H), zero beyond each length."""
    finals: States
    """The state of each direction after its last step."""


class Backend(Protocol):
    """Implements the operations for one format."""

    def run_layer(
        self, cells: Sequence[Cell], inputs: Tensor | OneHot, lengths: Tensor, states: States | None
    ) -> LayerOutput:
        """Runs the cells of one layer, forward and, if there are two, backward within each sequence's length.

        Args:
            cells: the cells of the directions.
            inputs: (B, T, D) features, or a OneHot of (B, T).
            lengths: (B,) int64, each between 1 and T.
            states: initial state of each direction; None for zeros.
        """

    def reverse(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Reverses the first `lengths` (B,) steps of every row of (B, T, ...); the others stay in place."""

    def split_segments(self, inputs: Tensor, size: int) -> Tensor:
        """(B, T, ...) -> (B · N, size, ...) with N = ⌈T / size⌉; the last segment is padded with zeros."""

    def join_segments(self, segments: Tensor, like: Tensor) -> Tensor:
        """Inverse of `split_segments`: (B · N, size, D) -> (B, T, D), with B and T of `like` (B, T)."""


class StackRun(NamedTuple):
    """Result of `run_stack`."""

    outputs: Tensor
    """(B, T, directions · H) of the top layer, zero beyond each length."""
    finals: States

    def top_hidden(self, directions: int) -> Tensor:
        """Returns h of the top layer, (B, directions · H)."""
        return torch.cat([state.hidden for state in self.finals[-directions:]], -1)


def run_stack(
    backend: Backend, stack: RecurrentStack, inputs: Tensor | OneHot, lengths: Tensor, states: States | None = None
) -> StackRun:
    """Runs a stack in evaluation mode, like `RecurrentStack.forward`.

    Args:
        backend: the format.
        stack: the stack.
        inputs: (B, T, D) features, or a OneHot of (B, T).
        lengths: (B,) int64.
        states: initial states; None for those of the stack.
    """
    cells, directions = stack.cell_list(), stack.directions
    given = initial_states(stack, lengths) if states is None else states
    finals: States = []
    for start in range(0, len(cells), directions):
        end = start + directions
        outputs, after = backend.run_layer(
            cells[start:end], inputs, lengths, None if given is None else given[start:end]
        )
        inputs = outputs + inputs if stack.residual and start and isinstance(inputs, Tensor) else outputs
        finals += after
    assert isinstance(inputs, Tensor)
    return StackRun(inputs, finals)


def initial_states(stack: RecurrentStack, lengths: Tensor) -> States | None:
    """Returns the learned initial states of a stack for a batch of `lengths` (B,); None for zeros."""
    if stack.initial_state is None:
        return None
    learned = split_state(state_of_tensors(list(stack.initial_state), stack.state_type))
    zeros = zero_column(lengths)
    return [type(state)(*(tensor + zeros for tensor in state)) for state in learned]


def zero_states(cells: Sequence[Cell], lengths: Tensor) -> States:
    """Returns zero states, tensors (B, H), for a batch of `lengths` (B,).

    Every tensor is a separate one: torch's scan operator computes wrong results if two initial values are the same.
    """
    return [
        cell.state_type(*(zero_column(lengths) + torch.zeros(1, cell.hidden_size) for _ in cell.state_type._fields))
        for cell in cells
    ]


def zero_column(lengths: Tensor) -> Tensor:
    """Returns zeros (B, 1) for `lengths` (B,), to expand a tensor (1, ...) to the batch."""
    return torch.zeros_like(lengths, dtype=torch.float32).unsqueeze(1)


def step_positions(ids: Tensor) -> Tensor:
    """Returns 0, 1, ..., T − 1 in each row of (B, T) int64, for a tensor (B, T)."""
    return torch.ones_like(ids, dtype=torch.int64).cumsum(1) - 1


def step_mask(ids: Tensor, lengths: Tensor) -> Tensor:
    """Returns a mask (B, T) bool, True within each length, for a tensor (B, T)."""
    return step_positions(ids) < lengths.unsqueeze(1)


def one_column(inputs: Tensor | OneHot) -> Tensor:
    """Returns (B, T), the first feature of every step or the ids."""
    return inputs.ids if isinstance(inputs, OneHot) else inputs.select(2, 0)
