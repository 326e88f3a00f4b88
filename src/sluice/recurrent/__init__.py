"""Recurrent cells and stacks of them for batches of variable-length sequences, in pure torch."""

from sluice.recurrent.cells import CELLS, Cell, CellOptions, Recurrence, make_cell, register_cell
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.stack import CellTrace, RecurrentStack, StackOutput, StackTrace
from sluice.recurrent.states import HiddenState, LSTMState, StackState, State

__all__ = [
    "CELLS",
    "Cell",
    "CellOptions",
    "CellTrace",
    "HiddenState",
    "LSTMState",
    "OneHot",
    "Recurrence",
    "RecurrentStack",
    "StackOutput",
    "StackState",
    "StackTrace",
    "State",
    "make_cell",
    "register_cell",
]
