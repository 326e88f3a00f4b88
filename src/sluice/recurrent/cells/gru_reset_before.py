"""The gated recurrent unit as the lectures write it: reset applied before the recurrent product."""

import torch
from torch import Tensor

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.gru import GRUCell
from sluice.recurrent.fused.gru import GRUBeforeRun
from sluice.recurrent.states import HiddenState, State


@register_cell("gru_reset_before")
class ResetBeforeGRUCell(GRUCell):
    """Cho et al. (2014), arXiv 1406.1078v3, equations 5 to 8; torch's sense of the update gate, here "keep".

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)       reset
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)       keep: near 1 the old state stays
    n  = f(W_in x + b_in + W_hn (r ⊙ h) + b_hn) new, f = tanh
    h' = (1 − z) ⊙ n + z ⊙ h

    What is reset is forgotten before the product looks at it; this takes two products a step, one after the other.
    """

    fused = GRUBeforeRun

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        size = self.hidden_size
        reset_in, keep_in, new_in = projected.chunk(3, -1)
        reset_hidden, keep_hidden = recurrent.rows(0, 2 * size)(state.hidden).chunk(2, -1)
        reset = torch.sigmoid(reset_in + reset_hidden)
        keep = torch.sigmoid(keep_in + keep_hidden)
        new = self.activate()(new_in + recurrent.rows(2 * size, 3 * size)(reset * state.hidden))
        return HiddenState((1 - keep) * new + keep * state.hidden), (reset, keep, new)
