"""The gated recurrent unit, reset applied after the recurrent product, as cuDNN and torch have it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.recurrent.cells.base import Cell, register_cell
from sluice.recurrent.states import HiddenState, State


@register_cell("gru")
class GRUCell(Cell):
    """Cho et al. (2014), arXiv 1406.1078, in the variant of its first version: reset after the product.

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)          reset
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)          keep: near 1 the old state stays
    n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)) new
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order reset, keep, new: torch's. Texts that write h' = z ⊙ n + (1 − z) ⊙ h call the complement z.
    `forget_bias` − 1 is added to the bias of the keep gate, so that the default of 1 leaves it at zero.
    """

    gates = ("reset", "keep", "new")
    kernel = staticmethod(torch.gru)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.bias_ih.data.chunk(3)[1], self.forget_bias - 1.0)

    def step(self, projected: Tensor, state: State) -> HiddenState:
        reset_in, keep_in, new_in = projected.chunk(3, -1)
        reset_hidden, keep_hidden, new_hidden = F.linear(state.hidden, self.weight_hh, self.bias_hh).chunk(3, -1)
        reset = torch.sigmoid(reset_in + reset_hidden)
        keep = torch.sigmoid(keep_in + keep_hidden)
        new = torch.tanh(new_in + reset * new_hidden)
        return HiddenState((1 - keep) * new + keep * state.hidden)
