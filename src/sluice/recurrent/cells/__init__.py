"""Recurrent cells, one file each, and their registry."""

from sluice.recurrent.cells.base import CELLS, Cell, Recurrence, make_cell, register_cell
from sluice.recurrent.cells.gru import GRUCell
from sluice.recurrent.cells.gru_reset_before import ResetBeforeGRUCell
from sluice.recurrent.cells.lstm import LSTMCell
from sluice.recurrent.cells.lstm_coupled import CoupledLSTMCell
from sluice.recurrent.cells.lstm_layernorm import LayerNormLSTMCell
from sluice.recurrent.cells.lstm_peephole import PeepholeLSTMCell
from sluice.recurrent.cells.options import CellOptions
from sluice.recurrent.cells.rnn import ReLURNNCell, TanhRNNCell
from sluice.recurrent.cells.rnn_layernorm import LayerNormRNNCell

__all__ = [
    "CELLS",
    "Cell",
    "CellOptions",
    "CoupledLSTMCell",
    "GRUCell",
    "LSTMCell",
    "LayerNormLSTMCell",
    "LayerNormRNNCell",
    "PeepholeLSTMCell",
    "ReLURNNCell",
    "Recurrence",
    "ResetBeforeGRUCell",
    "TanhRNNCell",
    "make_cell",
    "register_cell",
]
