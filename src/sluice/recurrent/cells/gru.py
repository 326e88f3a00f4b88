"""The gated recurrent unit, reset applied after the recurrent product, as cuDNN and torch have it."""

from typing import ClassVar

import torch
from torch import Tensor

from sluice.recurrent.cells.base import Cell, Kernel, Recurrence, register_cell
from sluice.recurrent.fused.gru import GRURun
from sluice.recurrent.fused.run import FusedOptions, FusedRun
from sluice.recurrent.states import HiddenState, State


@register_cell("gru")
class GRUCell(Cell):
    """Cho et al. (2014), arXiv 1406.1078, in the variant of its first version: reset after the product.

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)       reset
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)       keep: near 1 the old state stays
    n  = f(W_in x + b_in + r ⊙ (W_hn h + b_hn)) new, f = tanh
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order reset, keep, new: torch's. Texts that write h' = z ⊙ n + (1 − z) ⊙ h call the complement z.
    `forget_bias` − 1 is added to the bias of the keep gate, so that the default of 1 leaves it at zero.
    """

    gates: ClassVar[tuple[str, ...]] = ("reset", "keep", "new")
    own_activations: ClassVar[dict[str, str]] = {"activation": "tanh"}
    keeping_gate = "keep"
    kernel: ClassVar[Kernel | None] = staticmethod(torch.gru)
    fused: ClassVar[type[FusedRun] | None] = GRURun

    def keeping_bias(self) -> float:
        return self.options.forget_bias - 1

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        reset_in, keep_in, new_in = projected.chunk(3, -1)
        reset_hidden, keep_hidden, new_hidden = recurrent(state.hidden).chunk(3, -1)
        reset = torch.sigmoid(reset_in + reset_hidden)
        keep = torch.sigmoid(keep_in + keep_hidden)
        new = self.activate()(new_in + reset * new_hidden)
        return HiddenState((1 - keep) * new + keep * state.hidden), (reset, keep, new)

    def fused_options(self) -> FusedOptions:
        return FusedOptions(self.activations["activation"])
