"""The long short-term memory with a forget gate, as torch and cuDNN have it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.recurrent.cells.base import Cell, register_cell
from sluice.recurrent.states import LSTMState, State


@register_cell("lstm")
class LSTMCell(Cell):
    """Hochreiter & Schmidhuber (1997) with the forget gate of Gers, Schmidhuber & Cummins (2000).

    i  = σ(W_ii x + b_ii + W_hi h + b_hi)     input: take new
    f  = σ(W_if x + b_if + W_hf h + b_hf)     forget: near 1 the old cell state is kept
    g  = tanh(W_ig x + b_ig + W_hg h + b_hg)  candidate
    o  = σ(W_io x + b_io + W_ho h + b_ho)     output
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

    Gate order input, forget, candidate, output: torch's. The bias of the forget gate starts at `forget_bias`
    (Jozefowicz, Zaremba & Sutskever 2015: 1), so that at first everything is kept.
    """

    gates = ("input", "forget", "candidate", "output")
    state_type = LSTMState
    kernel = staticmethod(torch.lstm)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.bias_ih.data.chunk(4)[1], self.forget_bias)

    def step(self, projected: Tensor, state: State) -> LSTMState:
        assert isinstance(state, LSTMState)
        pre_activations = projected + F.linear(state.hidden, self.weight_hh, self.bias_hh)
        input_gate, forget_gate, candidate, output_gate = pre_activations.chunk(4, -1)
        kept = torch.sigmoid(forget_gate) * state.cell
        cell = kept + torch.sigmoid(input_gate) * torch.tanh(candidate)
        return LSTMState(torch.sigmoid(output_gate) * torch.tanh(cell), cell)

    def scan_projected(self, projected: Tensor, state: State) -> tuple[Tensor, LSTMState]:
        assert isinstance(state, LSTMState)
        outputs, hidden, cell = _LSTMScan.apply(projected, self.weight_hh, self.bias_hh, *state)
        return outputs, LSTMState(hidden, cell)


class _LSTMScan(torch.autograd.Function):
    """All steps from pre-activations, with a hand-written backward.

    The forward pass does one recurrent product a step into a preallocated buffer; the backward pass collects the gate
    gradients of all steps and turns them into the weight gradient with a single product.
    """

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, weight_hh: Tensor, bias_hh: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch_size, _ = projected.shape
        gates = projected + bias_hh
        hiddens = projected.new_empty(steps + 1, batch_size, hidden.shape[-1])
        cells = torch.empty_like(hiddens)
        hiddens[0], cells[0] = hidden, cell
        transposed = weight_hh.t()
        for step in range(steps):
            now = gates[step].addmm_(hiddens[step], transposed)
            input_gate, forget_gate, candidate, output_gate = now.chunk(4, -1)
            input_gate.sigmoid_(), forget_gate.sigmoid_(), candidate.tanh_(), output_gate.sigmoid_()
            torch.mul(forget_gate, cells[step], out=cells[step + 1]).addcmul_(input_gate, candidate)
            torch.tanh(cells[step + 1], out=hiddens[step + 1]).mul_(output_gate)
        ctx.save_for_backward(gates, hiddens, cells, weight_hh)
        return hiddens[1:], hiddens[-1].clone(), cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor, grad_hidden: Tensor, grad_cell: Tensor) -> tuple[Tensor, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the LSTM scan cannot be differentiated twice (create_graph=True); its `step` can")
        gates, hiddens, cells, weight_hh = ctx.saved_tensors
        grad_gates = torch.empty_like(gates)
        grad_hidden, grad_cell = grad_hidden.clone(), grad_cell.clone()
        for step in range(gates.shape[0] - 1, -1, -1):
            grad_hidden += grad_outputs[step]
            grad_cell = _gate_gradients(
                gates[step], cells[step], cells[step + 1], grad_hidden, grad_cell, grad_gates[step]
            )
            grad_hidden = grad_gates[step] @ weight_hh
        rows = grad_gates.flatten(0, 1)
        return grad_gates, rows.t() @ hiddens[:-1].flatten(0, 1), rows.sum(0), grad_hidden, grad_cell


def _gate_gradients(
    gates: Tensor, old_cell: Tensor, cell: Tensor, grad_hidden: Tensor, grad_cell: Tensor, out: Tensor
) -> Tensor:
    """Writes one step's pre-activation gradients (B, 4H) into `out`; returns the gradient of the old cell state."""
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4, -1)
    out_input, out_forget, out_candidate, out_output = out.chunk(4, -1)
    squashed = cell.tanh()
    grad_cell = torch.addcmul(grad_cell, grad_hidden * output_gate, 1 - squashed * squashed)
    torch.mul(grad_cell * candidate, input_gate * (1 - input_gate), out=out_input)
    torch.mul(grad_cell * old_cell, forget_gate * (1 - forget_gate), out=out_forget)
    torch.mul(grad_cell * input_gate, 1 - candidate * candidate, out=out_candidate)
    torch.mul(grad_hidden * squashed, output_gate * (1 - output_gate), out=out_output)
    return grad_cell * forget_gate
