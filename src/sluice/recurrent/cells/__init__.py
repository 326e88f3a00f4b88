"""The cells by name; one file a cell."""

from sluice.recurrent.cells.base import CELLS, Cell, make_cell, register_cell
from sluice.recurrent.cells.gru import GRUCell
from sluice.recurrent.cells.lstm import LSTMCell
from sluice.recurrent.cells.rnn import ReLURNNCell, TanhRNNCell

__all__ = [
    "CELLS",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "ReLURNNCell",
    "TanhRNNCell",
    "make_cell",
    "register_cell",
]
