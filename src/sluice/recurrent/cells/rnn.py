"""The simple recurrent network of Elman (1990), "Finding structure in time"."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.recurrent.cells.base import Cell, register_cell
from sluice.recurrent.states import HiddenState, State


class SimpleRNNCell(Cell):
    """h' = f(W_ih x + b_ih + W_hh h + b_hh); one "gate", the new state itself."""

    gates = ("new",)

    def nonlinearity(self, pre_activation: Tensor) -> Tensor:
        """f."""
        raise NotImplementedError

    def step(self, projected: Tensor, state: State) -> HiddenState:
        return HiddenState(self.nonlinearity(projected + F.linear(state.hidden, self.weight_hh, self.bias_hh)))


@register_cell("rnn")
class TanhRNNCell(SimpleRNNCell):
    """The simple RNN with f = tanh."""

    kernel = staticmethod(torch.rnn_tanh)

    def nonlinearity(self, pre_activation: Tensor) -> Tensor:
        return pre_activation.tanh()


@register_cell("rnn_relu")
class ReLURNNCell(SimpleRNNCell):
    """The simple RNN with f = ReLU.

    Le, Jaitly & Hinton (2015), "A simple way to initialize recurrent networks of rectified linear units": nothing
    bounds h, so W_hh starts orthogonal and gradient clipping is not optional.
    """

    kernel = staticmethod(torch.rnn_relu)

    def nonlinearity(self, pre_activation: Tensor) -> Tensor:
        return pre_activation.relu()
