"""State tuples of cells and stacks, passed in and out explicitly and never stored in a module."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar, cast

import torch
from torch import Tensor


class HiddenState(NamedTuple):
    """State of a simple RNN or a GRU."""

    hidden: Tensor
    """h, (B, H) in a cell; (layers · directions, B, H) in a stack."""


class LSTMState(NamedTuple):
    """State of an LSTM."""

    hidden: Tensor
    """h, (B, H) in a cell; (layers · directions, B, H) in a stack."""
    cell: Tensor
    """c, of the same shape."""


State: TypeAlias = HiddenState | LSTMState
StackState: TypeAlias = State | tuple[State, ...]
"""State of a stack: tensors (layers · directions, B, H); if the layers have unequal sizes, a tuple with a state of
tensors (directions, B, H) for each layer. Ordered as in torch: layers from the bottom, forward before backward."""

StackStateT = TypeVar("StackStateT", bound=StackState)


def join_states(states: Sequence[State], directions: int) -> StackState:
    """Returns the state of a stack from those of its cells, tensors (B, H).

    Args:
        states: a state for each layer and direction, layers from the bottom, forward before backward.
        directions: number of directions.
    """
    if len({state.hidden.shape for state in states}) == 1:
        return _stack(states)
    return tuple(_stack(states[start : start + directions]) for start in range(0, len(states), directions))


def split_state(state: StackState) -> list[State]:
    """Inverse of `join_states`."""
    layers = [(type(block), zip(*(tensor.unbind(0) for tensor in block), strict=True)) for block in _blocks(state)]
    return [state_type(*parts) for state_type, cells in layers for parts in cells]


def map_state(function: Callable[[Tensor], Tensor], state: StackStateT) -> StackStateT:
    """Applies a function to every tensor of a state."""
    blocks = tuple(type(block)(*map(function, block)) for block in _blocks(state))
    return cast(StackStateT, blocks if len(blocks) > 1 else blocks[0])


def state_tensors(state: StackState) -> list[Tensor]:
    """Returns the tensors of a state as a list, layer by layer if the layers have unequal sizes."""
    return [tensor for block in _blocks(state) for tensor in block]


def state_of_tensors(tensors: Sequence[Tensor], state_type: type[State]) -> StackState:
    """Inverse of `state_tensors`, for cells of `state_type`."""
    fields = len(state_type._fields)
    blocks = tuple(state_type(*tensors[start : start + fields]) for start in range(0, len(tensors), fields))
    return blocks if len(blocks) > 1 else blocks[0]


def top_hidden(state: StackState, directions: int) -> Tensor:
    """Returns h of the top layer, (B, directions · H), directions concatenated."""
    return torch.cat(_blocks(state)[-1].hidden[-directions:].unbind(0), -1)


def _stack(states: Sequence[State]) -> State:
    return type(states[0])(*(torch.stack(parts) for parts in zip(*states, strict=True)))


def _blocks(state: StackState) -> tuple[State, ...]:
    """The states whose tensors have all layers, or those of one layer each."""
    return cast(tuple[State, ...], (state,) if isinstance(state[0], Tensor) else state)
