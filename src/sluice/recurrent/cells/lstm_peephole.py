"""The LSTM whose gates see the cell state."""

import torch
from torch import Tensor, nn

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.lstm import LSTMCell
from sluice.recurrent.fused.lstm import LSTMRun
from sluice.recurrent.states import LSTMState, State


@register_cell("lstm_peephole")
class PeepholeLSTMCell(LSTMCell):
    """Gers, Schraudolph & Schmidhuber (2002), "Learning precise timing with LSTM recurrent networks", section 2.

    i  = σ(W_ii x + b_ii + W_hi h + b_hi + p_i ⊙ c)     input
    f  = σ(W_if x + b_if + W_hf h + b_hf + p_f ⊙ c)     forget
    g  = f_c(W_ig x + b_ig + W_hg h + b_hg)             candidate
    c' = f ⊙ c + i ⊙ g
    o  = σ(W_io x + b_io + W_ho h + b_ho + p_o ⊙ c')    output: it sees the new cell state
    h' = o ⊙ f_h(c')

    Parameter beside the LSTM's: peephole (3, H), the rows p_i, p_f, p_o; it starts at zero, where this is the LSTM.
    """

    fused = LSTMRun

    def add_parameters(self) -> None:
        self.peephole = nn.Parameter(torch.zeros(3, self.hidden_size))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.peephole)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        assert isinstance(state, LSTMState)
        to_input, to_forget, to_output = self.peephole
        input_gate, forget_gate, candidate, output_gate = (projected + recurrent(state.hidden)).chunk(4, -1)
        input_gate = (input_gate + to_input * state.cell).sigmoid()
        forget_gate = (forget_gate + to_forget * state.cell).sigmoid()
        candidate = self.activate("cell_activation")(candidate)
        cell = forget_gate * state.cell + input_gate * candidate
        output_gate = (output_gate + to_output * cell).sigmoid()
        hidden = output_gate * self.activate()(cell)
        return LSTMState(hidden, cell), (input_gate, forget_gate, candidate, output_gate)

    def fused_parameters(self) -> dict[str, Tensor | None]:
        return {**super().fused_parameters(), "peephole": self.peephole}
