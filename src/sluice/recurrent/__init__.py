"""Recurrent cells, the time loop over variable lengths, and stacks of them. Pure torch."""

from sluice.recurrent.cells import CELLS, Cell, make_cell, register_cell
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.stack import RecurrentStack, StackOutput
from sluice.recurrent.states import HiddenState, LSTMState, State

__all__ = [
    "CELLS",
    "Cell",
    "HiddenState",
    "LSTMState",
    "OneHot",
    "RecurrentStack",
    "StackOutput",
    "State",
    "make_cell",
    "register_cell",
]
