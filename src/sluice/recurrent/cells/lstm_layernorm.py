"""The LSTM with layer normalisation of its products and cell state."""

import torch
from torch import Tensor, nn

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.lstm import LSTMCell
from sluice.recurrent.fused.lstm import LSTMRun
from sluice.recurrent.fused.norm import layer_norm
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.products import linear
from sluice.recurrent.states import LSTMState, State


@register_cell("lstm_layernorm")
class LayerNormLSTMCell(LSTMCell):
    """The LSTM of Ba, Kiros & Hinton (2016), "Layer normalization", arXiv 1607.06450, equations 20 to 22.

    (i, f, g, o) = LN(W_ih x; gain_ih, bias_ih) + LN(W_hh h; gain_hh, bias_hh)
    c' = σ(f) ⊙ c + σ(i) ⊙ f_c(g)
    h' = σ(o) ⊙ f_h(LN(c'; gain_cell, bias_cell))
    LN(a; gain, bias) = gain ⊙ (a − mean(a)) / deviation(a) + bias

    Each product is normalised over all 4H pre-activations together; bias_ih and bias_hh are the biases of the norms.
    Additional parameters: gain_ih and gain_hh (4H,), gain_cell and bias_cell (H,). gain_hh starts at
    `layernorm_init_gain`, by default 0.1, the others at 1. Cooijmans et al. (2016), "Recurrent batch normalization",
    arXiv 1603.09025, section 4, found that gradients vanish with a gain of 1.
    """

    default_layernorm_init_gain = 0.1
    projects_rows = True
    fused = LSTMRun

    def add_parameters(self) -> None:
        rows = len(self.gates) * self.hidden_size
        self.gain_ih, self.gain_hh = nn.Parameter(torch.ones(rows)), nn.Parameter(torch.ones(rows))
        self.gain_cell = nn.Parameter(torch.ones(self.hidden_size))
        self.bias_cell = nn.Parameter(torch.zeros(self.hidden_size))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.ones_(self.gain_ih)
        nn.init.constant_(self.gain_hh, self.layernorm_init_gain())
        nn.init.ones_(self.gain_cell)
        nn.init.zeros_(self.bias_cell)

    def project(self, inputs: Tensor | OneHot) -> Tensor:
        product = inputs.times(self.weight_ih) if isinstance(inputs, OneHot) else linear(inputs, self.weight_ih)
        assert self.bias_ih is not None
        return layer_norm(product, self.gain_ih, self.bias_ih)

    def recurrence(self, batch_size: int) -> Recurrence:
        return super().recurrence(batch_size)._replace(bias=None)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        assert isinstance(state, LSTMState)
        assert self.bias_hh is not None
        product = layer_norm(recurrent(state.hidden), self.gain_hh, self.bias_hh)
        input_gate, forget_gate, candidate, output_gate = (projected + product).chunk(4, -1)
        input_gate, forget_gate, output_gate = input_gate.sigmoid(), forget_gate.sigmoid(), output_gate.sigmoid()
        candidate = self.activate("cell_activation")(candidate)
        cell = forget_gate * state.cell + input_gate * candidate
        hidden = output_gate * self.activate()(layer_norm(cell, self.gain_cell, self.bias_cell))
        return LSTMState(hidden, cell), (input_gate, forget_gate, candidate, output_gate)

    def fused_parameters(self) -> dict[str, Tensor | None]:
        return {
            "peephole": None,
            "gain": self.gain_hh,
            "norm_bias": self.bias_hh,
            "cell_gain": self.gain_cell,
            "cell_bias": self.bias_cell,
        }
