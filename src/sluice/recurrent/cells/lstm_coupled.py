"""The LSTM with coupled input and forget gates."""

from torch import Tensor

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.lstm import LSTMCell
from sluice.recurrent.fused.lstm import LSTMRun
from sluice.recurrent.fused.run import FusedOptions
from sluice.recurrent.states import LSTMState, State


@register_cell("lstm_coupled")
class CoupledLSTMCell(LSTMCell):
    """The CIFG LSTM of Greff et al. (2015), "LSTM: a search space odyssey", arXiv 1503.04069, section 3: i = 1 − f.

    f  = σ(W_if x + b_if + W_hf h + b_hf)     forget
    g  = f_c(W_ig x + b_ig + W_hg h + b_hg)   candidate
    o  = σ(W_io x + b_io + W_ho h + b_ho)     output
    c' = f ⊙ c + (1 − f) ⊙ g
    h' = o ⊙ f_h(c')

    Gate order forget, candidate, output. Three quarters of the LSTM's parameters.
    """

    gates = ("forget", "candidate", "output")
    adds_recurrent_bias = True
    fused = LSTMRun

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        assert isinstance(state, LSTMState)
        forget_gate, candidate, output_gate = (projected + recurrent(state.hidden)).chunk(3, -1)
        forget_gate, output_gate = forget_gate.sigmoid(), output_gate.sigmoid()
        candidate = self.activate("cell_activation")(candidate)
        cell = forget_gate * state.cell + (1 - forget_gate) * candidate
        hidden = output_gate * self.activate()(cell)
        return LSTMState(hidden, cell), (forget_gate, candidate, output_gate)

    def fused_options(self) -> FusedOptions:
        return super().fused_options()._replace(coupled=True)
