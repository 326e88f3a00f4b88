"""The GRU's steps, reset after the recurrent product and before it."""

import ctypes

import torch
from torch import Tensor

from sluice.recurrent.fused.native import ACTIVATION_CODES, GRUBeforeFields, GRUFields
from sluice.recurrent.fused.run import FusedRun, Gradients
from sluice.recurrent.products import weight_gradient


class GRURun(FusedRun):
    """Reset after the product: gates reset, keep, new, and behind the reset gate W_hn h + b_hn."""

    native_run = "gru"
    keeps_hidden = True

    def prepare(self) -> None:
        self.behind = self.buffers["behind"]

    def allocate(self) -> None:
        self.buffer("behind", self.steps, self.batch_size, self.hidden_size)

    def allocate_gradients(self) -> None:
        self.gradient_buffer("projected", self.gates)
        self.gradient_buffer("product", self.gates)

    def torch_forward(self, step: int, rows: int) -> None:
        product, projected = self.recurrent(step, rows), self.tensors["projected"][step, :rows]
        size, gates = self.hidden_size, self.gates[step, :rows]
        (reset, keep, new), behind = gates.chunk(3, -1), self.behind[step, :rows]
        torch.add(projected[:, : 2 * size], product[:, : 2 * size], out=gates[:, : 2 * size]).sigmoid_()
        behind.copy_(product[:, 2 * size :])
        new.copy_(self.activation.function(torch.addcmul(projected[:, 2 * size :], reset, behind)))
        torch.lerp(new, self.hiddens[step, :rows], keep, out=self.hiddens[step + 1, :rows])

    def torch_backward(self, step: int, rows: int) -> None:
        self.arrived("hidden", step, rows)
        size, product = self.hidden_size, self.grads["product"][step, :rows]
        reset, keep, new = self.gates[step, :rows].chunk(3, -1)
        to_new = _through_mix(self, step, rows, keep, new)
        to_reset = self.grads["projected"][step, :rows, :size]
        torch.mul(to_new * self.behind[step, :rows], reset - reset * reset, out=to_reset)
        product[:, : 2 * size] = self.grads["projected"][step, :rows, : 2 * size]
        torch.mul(to_new, reset, out=product[:, 2 * size :])

    def native_fields(self) -> ctypes.Structure:
        return self.fill(GRUFields, activation=ACTIVATION_CODES[self.options.activation])


class GRUBeforeRun(FusedRun):
    """Reset before the product, W_hn (r ⊙ h): two products a step. Gates reset, keep, new."""

    native_run = "gru_before"
    keeps_hidden = True

    def prepare(self) -> None:
        self.resets = self.buffers["resets"]

    def allocate(self) -> None:
        self.buffer("resets", self.steps, self.batch_size, self.hidden_size)

    def allocate_gradients(self) -> None:
        self.grads["product"] = self.gradient_buffer("projected", self.gates)

    def _parts(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        gates, new = weight.split([2 * self.hidden_size, self.hidden_size])
        return gates, new

    def prepare_products(self) -> None:
        gates, new = self._parts(self.weight)
        bias, new_bias = self._parts(self.tensors["bias"])
        self.multiply, self.multiply_new = self.product(gates, bias), self.product(new, new_bias)

    def prepare_products_back(self) -> None:
        gates, new = self._parts(self.weight)
        self.multiply, self.multiply_new = self.product(gates.t()), self.product(new.t())

    def torch_forward(self, step: int, rows: int) -> None:
        product, projected = self.recurrent(step, rows), self.tensors["projected"][step, :rows]
        size, gates, old = self.hidden_size, self.gates[step, :rows], self.hiddens[step, :rows]
        reset, keep, new = gates.chunk(3, -1)
        torch.add(projected[:, : 2 * size], product, out=gates[:, : 2 * size]).sigmoid_()
        seen = torch.mul(reset, self.masked(old), out=self.resets[step, :rows])
        new.copy_(self.activation.function(self.multiply_new(seen).add_(projected[:, 2 * size :])))
        torch.lerp(new, old, keep, out=self.hiddens[step + 1, :rows])

    def torch_backward(self, step: int, rows: int) -> None:
        self.arrived("hidden", step, rows)
        reset, keep, new = self.gates[step, :rows].chunk(3, -1)
        to_new = _through_mix(self, step, rows, keep, new)
        came = self.masked(self.multiply_new(to_new.contiguous()))
        to_reset = self.grads["projected"][step, :rows, : self.hidden_size]
        torch.mul(came * self.hiddens[step, :rows], reset - reset * reset, out=to_reset)
        self.grad_hidden[:rows].addcmul_(came, reset)

    def native_fields(self) -> ctypes.Structure:
        return self.fill(GRUBeforeFields, activation=ACTIVATION_CODES[self.options.activation])

    def reach_back(self, step: int, rows: int) -> None:
        came = self.multiply(self.grads["projected"][step, :rows, : 2 * self.hidden_size].contiguous())
        self.grad_hidden[:rows].add_(self.masked(came))

    def gradients(self) -> Gradients:
        grads = self.grads["projected"].flatten(0, 1)
        gates, new = (part.contiguous() for part in grads.split([2 * self.hidden_size, self.hidden_size], -1))
        fed = self.masked(self.hiddens[:-1]).flatten(0, 1)
        weight = torch.cat([weight_gradient(gates, fed), weight_gradient(new, self.resets.flatten(0, 1))])
        return {
            "projected": self.grads["projected"],
            "weight": weight,
            "bias": grads.sum(0),
            "hidden": self.grad_hidden,
        }


def _through_mix(run: FusedRun, step: int, rows: int, keep: Tensor, new: Tensor) -> Tensor:
    """Back through h' = (1 − z) ⊙ n + z ⊙ h: fills the keep and new gradients, leaves h's share; returns new's."""
    grad_hidden, old = run.grad_hidden[:rows], run.hiddens[step, :rows]
    _, to_keep, to_new = run.grads["projected"][step, :rows].chunk(3, -1)
    torch.mul(grad_hidden * (old - new), keep - keep * keep, out=to_keep)
    assert run.activation.slope is not None
    torch.mul(grad_hidden - grad_hidden * keep, run.activation.slope(new), out=to_new)
    grad_hidden.mul_(keep)
    return to_new
