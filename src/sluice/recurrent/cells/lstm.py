"""The long short-term memory with a forget gate, as in torch and cuDNN."""

from typing import ClassVar

import torch
from torch import Tensor

from sluice.recurrent.cells.base import Cell, Kernel, Recurrence, register_cell
from sluice.recurrent.fused.lstm import LSTMRun
from sluice.recurrent.fused.run import FusedOptions
from sluice.recurrent.states import LSTMState, State


@register_cell("lstm")
class LSTMCell(Cell):
    """The LSTM of Hochreiter & Schmidhuber (1997) with the forget gate of Gers, Schmidhuber & Cummins (2000).

    i  = σ(W_ii x + b_ii + W_hi h + b_hi)     input
    f  = σ(W_if x + b_if + W_hf h + b_hf)     forget: near 1 keeps the old cell state
    g  = f_c(W_ig x + b_ig + W_hg h + b_hg)   candidate
    o  = σ(W_io x + b_io + W_ho h + b_ho)     output
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ f_h(c')

    f_c (`cell_activation`) and f_h (`activation`) are tanh. Gate order as in torch: input, forget, candidate, output.
    The bias of the forget gate is initialised to `forget_bias` (1 in Jozefowicz, Zaremba & Sutskever 2015).
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    state_type = LSTMState
    default_activations: ClassVar[dict[str, str]] = {"activation": "tanh", "cell_activation": "tanh"}
    forget_bias_gate = "forget"
    kernel: ClassVar[Kernel | None] = staticmethod(torch.lstm)
    kernel_is_best_on_cpu = True
    freeze_bias = (-1e4, 1e4, 0.0, 0.0)
    adds_recurrent_bias = True
    fused = LSTMRun

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        assert isinstance(state, LSTMState)
        input_gate, forget_gate, candidate, output_gate = (projected + recurrent(state.hidden)).chunk(4, -1)
        input_gate, forget_gate, output_gate = input_gate.sigmoid(), forget_gate.sigmoid(), output_gate.sigmoid()
        candidate = self.activate("cell_activation")(candidate)
        cell = forget_gate * state.cell + input_gate * candidate
        hidden = output_gate * self.activate()(cell)
        return LSTMState(hidden, cell), (input_gate, forget_gate, candidate, output_gate)

    def fused_options(self) -> FusedOptions:
        return FusedOptions(self.activations["activation"], self.activations["cell_activation"])

    def fused_parameters(self) -> dict[str, Tensor | None]:
        return dict.fromkeys(("peephole", "gain", "norm_bias", "cell_gain", "cell_bias"))
