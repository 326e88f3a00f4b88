"""The gated recurrent unit with the reset gate applied before the recurrent product."""

import torch
from torch import Tensor

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.gru import GRUCell
from sluice.recurrent.fused.gru import GRUBeforeRun
from sluice.recurrent.states import HiddenState, State


@register_cell("gru_reset_before")
class ResetBeforeGRUCell(GRUCell):
    """The GRU of Cho et al. (2014), arXiv 1406.1078v3, equations 5 to 8, the update gate as in torch.

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)       reset
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)       update: near 1 keeps the old state
    n  = f(W_in x + b_in + W_hn (r ⊙ h) + b_hn) new, f = tanh
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order reset, update, new. Two sequential products per step.
    """

    fused = GRUBeforeRun

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        size = self.hidden_size
        reset_in, update_in, new_in = projected.chunk(3, -1)
        reset_hidden, update_hidden = recurrent.rows(0, 2 * size)(state.hidden).chunk(2, -1)
        reset = torch.sigmoid(reset_in + reset_hidden)
        update = torch.sigmoid(update_in + update_hidden)
        new = self.activate()(new_in + recurrent.rows(2 * size, 3 * size)(reset * state.hidden))
        return HiddenState((1 - update) * new + update * state.hidden), (reset, update, new)
