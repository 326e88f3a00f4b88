"""The simple recurrent network of Elman (1990), "Finding structure in time"."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.recurrent.cells.base import Cell, register_cell
from sluice.recurrent.states import HiddenState, State


class SimpleRNNCell(Cell):
    """h' = f(W_ih x + b_ih + W_hh h + b_hh); one "gate", the new state itself."""

    gates = ("new",)
    nonlinearity: ClassVar[Callable[[Tensor], Tensor]]

    def step(self, projected: Tensor, state: State) -> HiddenState:
        return HiddenState(type(self).nonlinearity(projected + F.linear(state.hidden, self.weight_hh, self.bias_hh)))


@register_cell("rnn")
class TanhRNNCell(SimpleRNNCell):
    """The simple RNN with f = tanh."""

    nonlinearity = staticmethod(torch.tanh)
    kernel = staticmethod(torch.rnn_tanh)


@register_cell("rnn_relu")
class ReLURNNCell(SimpleRNNCell):
    """The simple RNN with f = ReLU.

    Le, Jaitly & Hinton (2015), "A simple way to initialize recurrent networks of rectified linear units": nothing
    bounds h, so W_hh starts orthogonal and gradient clipping is not optional.
    """

    nonlinearity = staticmethod(torch.relu)
    kernel = staticmethod(torch.rnn_relu)
