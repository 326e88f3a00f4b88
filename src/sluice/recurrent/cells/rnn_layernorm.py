"""The simple RNN with layer normalisation before the activation."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from sluice.recurrent.cells.base import Recurrence, register_cell
from sluice.recurrent.cells.rnn import SimpleRNNCell
from sluice.recurrent.fused.norm import layer_norm
from sluice.recurrent.fused.rnn import RNNRun
from sluice.recurrent.states import HiddenState, State


@register_cell("rnn_layernorm")
class LayerNormRNNCell(SimpleRNNCell):
    """The RNN of Ba, Kiros & Hinton (2016), "Layer normalization", arXiv 1607.06450, equation 4.

    a  = W_ih x + W_hh h
    h' = f(gain ⊙ (a − mean(a)) / deviation(a) + bias),  f = tanh

    Mean and deviation are over the H units. Parameters in addition to the weights: gain, initialised to
    `layernorm_init_gain`, and bias, (H,).
    """

    default_activations: ClassVar[dict[str, str]] = {"activation": "tanh"}
    biases = ()
    fused = RNNRun

    def add_parameters(self) -> None:
        self.gain = nn.Parameter(torch.ones(self.hidden_size))
        self.bias = nn.Parameter(torch.zeros(self.hidden_size))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.gain, self.layernorm_init_gain())
        nn.init.zeros_(self.bias)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        new = self.activate()(layer_norm(projected + recurrent(state.hidden), self.gain, self.bias))
        return HiddenState(new), (new,)

    def fused_parameters(self) -> dict[str, Tensor | None]:
        return {"gain": self.gain, "norm_bias": self.bias}
