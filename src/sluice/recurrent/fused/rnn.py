"""Fused scan of the simple RNN, plain and layer-normalised."""

import ctypes

import torch

from sluice.recurrent.fused.native import ACTIVATION_CODES, RNNFields
from sluice.recurrent.fused.norm import normalise, normalise_backward
from sluice.recurrent.fused.run import FusedRun, Gradients


class RNNRun(FusedRun):
    """One gate, the new state. Additional parameters, None without layer normalisation: gain and norm_bias (H,)."""

    native_run = "rnn"

    def prepare(self) -> None:
        self.gain = self.tensors["gain"]

    def allocate(self) -> None:
        if self.tensors["gain"] is not None:
            self.buffer("normal", *self.buffers["gates"].shape)
            self.buffer("scale", self.steps, self.batch_size)

    def allocate_gradients(self) -> None:
        self.grads["product"] = self.gradient_buffer("sums", self.gates)
        if self.gain is not None:
            self.gradient_buffer("product", self.gates)
            for name in ("norm_gain", "norm_bias"):
                self.grads[name] = torch.zeros_like(self.hiddens[0])
        self.grads["projected"] = self.grads["product"]

    def torch_forward(self, step: int, rows: int) -> None:
        total = self.recurrent(step, rows).add_(self.tensors["projected"][step, :rows])
        if self.gain is not None:
            normal = normalise(total, self.buffers["normal"], self.buffers["scale"], step)
            total = torch.addcmul(self.tensors["norm_bias"], normal, self.gain)
        self.hiddens[step + 1, :rows] = self.activation.function(total)

    def torch_backward(self, step: int, rows: int) -> None:
        self.add_output_gradient("hidden", step, rows)
        assert self.activation.slope is not None
        slope = self.activation.slope(self.hiddens[step + 1, :rows])
        grads = torch.mul(self.grad_hidden[:rows], slope, out=self.grads["sums"][step, :rows])
        if self.gain is not None:
            normal, scale = self.buffers["normal"][step, :rows], self.buffers["scale"][step, :rows]
            self.grads["product"][step, :rows] = normalise_backward(grads, self.gain, normal, scale)
            self.grads["norm_gain"][:rows].addcmul_(grads, normal)
            self.grads["norm_bias"][:rows].add_(grads)

    def native_fields(self) -> ctypes.Structure:
        norm = self.norm("gain", "norm_bias", "normal", "scale", "norm_gain", "norm_bias")
        return self.fill(RNNFields, activation=ACTIVATION_CODES[self.options.activation], norm=norm)

    def gradients(self) -> Gradients:
        found = super().gradients()
        if self.gain is not None:
            found["gain"], found["norm_bias"] = self.grads["norm_gain"].sum(0), self.grads["norm_bias"].sum(0)
        return found
