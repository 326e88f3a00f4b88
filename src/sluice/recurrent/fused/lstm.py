"""Fused scan of the LSTMs: plain, peephole, coupled, layer-normalised, with any activations."""

import ctypes

import torch
from torch import Tensor

from sluice.recurrent.activations import Activation, find_activation
from sluice.recurrent.fused.native import ACTIVATION_CODES, LSTMFields
from sluice.recurrent.fused.norm import normalise, normalise_backward
from sluice.recurrent.fused.run import FusedRun, Gradients


class LSTMRun(FusedRun):
    """Gates in the order input, forget, candidate, output; a coupled LSTM has no input gate.

    Additional parameters, None where the cell lacks them: peephole (3, H) of input, forget and output gate; gain and
    norm_bias (G,) of the normalised product; cell_gain and cell_bias (H,) of the normalised cell state.
    """

    native_run = "lstm"
    fields = ("hidden", "cell")

    def prepare(self) -> None:
        self.cell_activation = find_activation(self.options.cell_activation)
        self.cells = self.buffers["cells"]
        self.peephole, self.gain, self.cell_gain = (self.tensors[name] for name in ("peephole", "gain", "cell_gain"))

    def allocate(self) -> None:
        if self.tensors["gain"] is not None:
            self.buffer("normal", *self.buffers["gates"].shape)
            self.buffer("scale", self.steps, self.batch_size)
            self.buffer("cell_normal", self.steps, self.batch_size, self.hidden_size)
            self.buffer("cell_scale", self.steps, self.batch_size)

    def allocate_gradients(self) -> None:
        self.grads["product"] = self.gradient_buffer("projected", self.gates)
        if self.peephole is not None and self.library:
            self.grads["peephole"] = self.peephole.new_zeros(self.batch_size, self.peephole.numel())
        if self.gain is not None:
            self.gradient_buffer("product", self.gates)
            for name in ("norm_gain", "norm_bias"):
                self.grads[name] = torch.zeros_like(self.gates[0])
            for name in ("cell_gain", "cell_bias"):
                self.grads[name] = torch.zeros_like(self.hiddens[0])

    def torch_forward(self, step: int, rows: int) -> None:
        product = self.recurrent(step, rows)
        if self.gain is not None:
            normal = normalise(product, self.buffers["normal"], self.buffers["scale"], step)
            product = torch.addcmul(self.tensors["norm_bias"], normal, self.gain)
        gates, old, cell = self.gates[step, :rows], self.cells[step, :rows], self.cells[step + 1, :rows]
        torch.add(self.tensors["projected"][step, :rows], product, out=gates)
        *input_gate, forget_gate, candidate, output_gate = gates.chunk(gates.shape[-1] // self.hidden_size, -1)
        if self.peephole is not None:
            input_gate[0].addcmul_(old, self.peephole[0])
            forget_gate.addcmul_(old, self.peephole[1])
        gates[:, : -2 * self.hidden_size].sigmoid_()
        _apply(self.cell_activation, candidate)
        if self.options.coupled:
            torch.lerp(candidate, old, forget_gate, out=cell)
        else:
            torch.mul(forget_gate, old, out=cell).addcmul_(input_gate[0], candidate)
        if self.peephole is not None:
            output_gate.addcmul_(cell, self.peephole[2])
        squashed = self.activation.function(self._activation_input(step, rows, cell, forward=True))
        torch.mul(squashed, output_gate.sigmoid_(), out=self.hiddens[step + 1, :rows])

    def _activation_input(self, step: int, rows: int, cell: Tensor, *, forward: bool) -> Tensor:
        """Returns the input of the output activation: the cell state, layer-normalised if the cell does so."""
        if self.cell_gain is None:
            return cell
        normal = self.buffers["cell_normal"]
        normalised = normalise(cell, normal, self.buffers["cell_scale"], step) if forward else normal[step, :rows]
        return torch.addcmul(self.tensors["cell_bias"], normalised, self.cell_gain)

    def torch_backward(self, step: int, rows: int) -> None:
        self.add_output_gradient("hidden", step, rows)
        self.add_output_gradient("cell", step, rows)
        gates, grads = self.gates[step, :rows], self.grads["projected"][step, :rows]
        parts = gates.shape[-1] // self.hidden_size
        *input_gate, forget_gate, candidate, output_gate = gates.chunk(parts, -1)
        *grad_input, grad_forget, grad_candidate, grad_output = grads.chunk(parts, -1)
        grad_hidden, grad_cell = self.grad_hidden[:rows], self.grads["cell"][:rows]
        old, cell = self.cells[step, :rows], self.cells[step + 1, :rows]
        squashed = self.activation.function(self._activation_input(step, rows, cell, forward=False))
        _sigmoid_slope(grad_hidden * squashed, output_gate, grad_output)
        self._add_cell_gradient(step, rows, grad_hidden * output_gate, squashed)
        if self.peephole is not None:
            grad_cell.addcmul_(grad_output, self.peephole[2])
        slope = _slope(self.cell_activation, candidate)
        if self.options.coupled:
            _sigmoid_slope(grad_cell * (old - candidate), forget_gate, grad_forget)
            torch.mul(grad_cell * (1 - forget_gate), slope, out=grad_candidate)
        else:
            _sigmoid_slope(grad_cell * candidate, input_gate[0], grad_input[0])
            _sigmoid_slope(grad_cell * old, forget_gate, grad_forget)
            torch.mul(grad_cell * input_gate[0], slope, out=grad_candidate)
        grad_cell.mul_(forget_gate)
        if self.peephole is not None:
            grad_cell.addcmul_(grad_input[0], self.peephole[0]).addcmul_(grad_forget, self.peephole[1])
        if self.gain is not None:
            normal, scale = self.buffers["normal"][step, :rows], self.buffers["scale"][step, :rows]
            self.grads["product"][step, :rows] = normalise_backward(grads, self.gain, normal, scale)
            self.grads["norm_gain"][:rows].addcmul_(grads, normal)
            self.grads["norm_bias"][:rows].add_(grads)

    def _add_cell_gradient(self, step: int, rows: int, grad: Tensor, squashed: Tensor) -> None:
        """Adds the gradient that flows through the output activation to the cell state's gradient."""
        grad_cell = self.grads["cell"][:rows]
        if self.cell_gain is None:
            grad_cell.addcmul_(grad, _slope(self.activation, squashed))
            return
        grad_normal = grad * _slope(self.activation, squashed)
        normal, scale = self.buffers["cell_normal"][step, :rows], self.buffers["cell_scale"][step, :rows]
        grad_cell.add_(normalise_backward(grad_normal, self.cell_gain, normal, scale))
        self.grads["cell_gain"][:rows].addcmul_(grad_normal, normal)
        self.grads["cell_bias"][:rows].add_(grad_normal)

    def native_fields(self) -> ctypes.Structure:
        return self.fill(
            LSTMFields,
            coupled=self.options.coupled,
            activation=ACTIVATION_CODES[self.options.activation],
            cell_activation=ACTIVATION_CODES[self.options.cell_activation],
            norm=self.norm("gain", "norm_bias", "normal", "scale", "norm_gain", "norm_bias"),
            cell_norm=self.norm("cell_gain", "cell_bias", "cell_normal", "cell_scale", "cell_gain", "cell_bias"),
        )

    def gradients(self) -> Gradients:
        found = super().gradients()
        grads = self.grads["projected"]
        if "peephole" in self.grads:
            found["peephole"] = self.grads["peephole"].sum(0).view_as(self.tensors["peephole"])
        elif self.peephole is not None:
            grad_input, grad_forget, _, grad_output = grads.chunk(4, -1)
            peepholes = ((grad_input, self.cells[:-1]), (grad_forget, self.cells[:-1]), (grad_output, self.cells[1:]))
            found["peephole"] = torch.stack([(grad * cells).sum((0, 1)) for grad, cells in peepholes])
        if self.gain is not None:
            found["gain"] = self.grads["norm_gain"].sum(0)
            for name in ("norm_bias", "cell_gain", "cell_bias"):
                found[name] = self.grads[name].sum(0)
        return found


def _apply(activation: Activation, into: Tensor) -> None:
    if activation.function is torch.tanh:
        into.tanh_()
    else:
        into.copy_(activation.function(into))


def _slope(activation: Activation, output: Tensor) -> Tensor:
    assert activation.slope is not None
    return activation.slope(output)


def _sigmoid_slope(grad: Tensor, gate: Tensor, out: Tensor) -> None:
    """out = grad · gate · (1 − gate)."""
    torch.mul(grad, gate - gate * gate, out=out)
