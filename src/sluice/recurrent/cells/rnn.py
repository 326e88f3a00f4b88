"""The simple recurrent network of Elman (1990), "Finding structure in time"."""

from typing import ClassVar

import torch
from torch import Tensor

from sluice.recurrent.cells.base import Cell, Recurrence, register_cell
from sluice.recurrent.fused.rnn import RNNRun
from sluice.recurrent.fused.run import FusedOptions
from sluice.recurrent.states import HiddenState, State


class SimpleRNNCell(Cell):
    """h' = f(W_ih x + b_ih + W_hh h + b_hh), with one "gate", the new state itself."""

    gates = ("new",)
    adds_recurrent_bias = True
    fused = RNNRun

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        new = self.activate()(projected + recurrent(state.hidden))
        return HiddenState(new), (new,)

    def fused_options(self) -> FusedOptions:
        return FusedOptions(self.activations["activation"])

    def fused_parameters(self) -> dict[str, Tensor | None]:
        return {"gain": None, "norm_bias": None}


@register_cell("rnn")
class TanhRNNCell(SimpleRNNCell):
    """The simple RNN with f = tanh."""

    default_activations: ClassVar[dict[str, str]] = {"activation": "tanh"}
    kernel = staticmethod(torch.rnn_tanh)


@register_cell("rnn_relu")
class ReLURNNCell(SimpleRNNCell):
    """The simple RNN with f = ReLU.

    Le, Jaitly & Hinton (2015), "A simple way to initialize recurrent networks of rectified linear units", arXiv
    1504.00941, where W_hh starts as the identity; here it starts orthogonal. h is unbounded, so that training needs
    gradient clipping.
    """

    default_activations: ClassVar[dict[str, str]] = {"activation": "relu"}
    kernel = staticmethod(torch.rnn_relu)
