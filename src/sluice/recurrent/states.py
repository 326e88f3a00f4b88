"""State tuples of the cells, passed in and out explicitly and never stored in a module."""

from typing import NamedTuple, TypeAlias

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
