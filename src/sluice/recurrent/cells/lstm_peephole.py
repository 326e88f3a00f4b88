"""The LSTM with peephole connections from the cell state to the gates."""

import torch
from torch import Tensor, nn

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.lstm import LSTMCell
from sluice.recurrent.fused.lstm import LSTMRun
from sluice.recurrent.states import LSTMState, State


@register_cell("lstm_peephole")
class PeepholeLSTMCell(LSTMCell):
    """The LSTM of Gers, Schraudolph & Schmidhuber (2002), "Learning precise timing with LSTM recurrent networks".

    i  = σ(W_ii x + b_ii + W_hi h + b_hi + p_i ⊙ c)     input
    f  = σ(W_if x + b_if + W_hf h + b_hf + p_f ⊙ c)     forget
    g  = f_c(W_ig x + b_ig + W_hg h + b_hg)             candidate
    c' = f ⊙ c + i ⊙ g
    o  = σ(W_io x + b_io + W_ho h + b_ho + p_o ⊙ c')    output, from the new cell state
    h' = o ⊙ f_h(c')

    Gate order as in the LSTM. Additional parameter: peephole (3, H), the rows p_i, p_f, p_o, initialised to zero.
    """

    adds_recurrent_bias = True
    fused = LSTMRun

    def add_parameters(self) -> None:
        self.peephole = nn.Parameter(torch.zeros(3, self.hidden_size))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.peephole)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        assert isinstance(state, LSTMState)
        peephole_input, peephole_forget, peephole_output = self.peephole.unbind(0)
        input_gate, forget_gate, candidate, output_gate = (projected + recurrent(state.hidden)).chunk(4, -1)
        input_gate = (input_gate + peephole_input * state.cell).sigmoid()
        forget_gate = (forget_gate + peephole_forget * state.cell).sigmoid()
        candidate = self.activate("cell_activation")(candidate)
        cell = forget_gate * state.cell + input_gate * candidate
        output_gate = (output_gate + peephole_output * cell).sigmoid()
        hidden = output_gate * self.activate()(cell)
        return LSTMState(hidden, cell), (input_gate, forget_gate, candidate, output_gate)

    def fused_parameters(self) -> dict[str, Tensor | None]:
        return {**super().fused_parameters(), "peephole": self.peephole}
