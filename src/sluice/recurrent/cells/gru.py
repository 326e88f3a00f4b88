"""The gated recurrent unit with the reset gate applied after the recurrent product, as in cuDNN and torch."""

from typing import ClassVar

import torch
from torch import Tensor

from sluice.recurrent.cells.base import Cell, Kernel, Recurrence, register_cell
from sluice.recurrent.fused.gru import GRURun
from sluice.recurrent.fused.run import FusedOptions, FusedRun
from sluice.recurrent.states import HiddenState, State


@register_cell("gru")
class GRUCell(Cell):
    """The GRU of Cho et al. (2014), arXiv 1406.1078, first version: reset gate applied after the product.

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)       reset
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)       update: near 1 keeps the old state
    n  = f(W_in x + b_in + r ⊙ (W_hn h + b_hn)) new, f = tanh
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order as in torch: reset, update, new. Papers that write h' = z ⊙ n + (1 − z) ⊙ h define z as the complement.
    The bias of the update gate is initialised to `forget_bias` − 1: zero by default.
    """

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "new")
    default_activations: ClassVar[dict[str, str]] = {"activation": "tanh"}
    forget_bias_gate = "update"
    kernel: ClassVar[Kernel | None] = staticmethod(torch.gru)
    fused: ClassVar[type[FusedRun] | None] = GRURun

    def initial_forget_bias(self) -> float:
        return self.options.forget_bias - 1

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        reset_in, update_in, new_in = projected.chunk(3, -1)
        reset_hidden, update_hidden, new_hidden = recurrent(state.hidden).chunk(3, -1)
        reset = torch.sigmoid(reset_in + reset_hidden)
        update = torch.sigmoid(update_in + update_hidden)
        new = self.activate()(new_in + reset * new_hidden)
        return HiddenState((1 - update) * new + update * state.hidden), (reset, update, new)

    def fused_options(self) -> FusedOptions:
        return FusedOptions(self.activations["activation"])
