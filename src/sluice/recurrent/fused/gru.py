"""Fused scans of the GRU, with the reset gate applied after or before the recurrent product."""

import ctypes

import torch
from torch import Tensor

from sluice.recurrent.fused.native import ACTIVATION_CODES, GRUBeforeFields, GRUFields
from sluice.recurrent.fused.run import FusedRun, Gradients
from sluice.recurrent.products import weight_gradient


class GRURun(FusedRun):
    """Reset after the product. Gates: reset, update, new. The buffer new_product is W_hn h + b_hn."""

    native_run = "gru"
    hidden_skip = True

    def prepare(self) -> None:
        self.new_product = self.buffers["new_product"]

    def allocate(self) -> None:
        self.buffer("new_product", self.steps, self.batch_size, self.hidden_size)

    def allocate_gradients(self) -> None:
        self.gradient_buffer("projected", self.gates)
        self.gradient_buffer("product", self.gates)

    def torch_forward(self, step: int, rows: int) -> None:
        product, projected = self.recurrent(step, rows), self.tensors["projected"][step, :rows]
        size, gates = self.hidden_size, self.gates[step, :rows]
        (reset, update, new), new_product = gates.chunk(3, -1), self.new_product[step, :rows]
        torch.add(projected[:, : 2 * size], product[:, : 2 * size], out=gates[:, : 2 * size]).sigmoid_()
        new_product.copy_(product[:, 2 * size :])
        new.copy_(self.activation.function(torch.addcmul(projected[:, 2 * size :], reset, new_product)))
        torch.lerp(new, self.hiddens[step, :rows], update, out=self.hiddens[step + 1, :rows])

    def torch_backward(self, step: int, rows: int) -> None:
        self.add_output_gradient("hidden", step, rows)
        size, product = self.hidden_size, self.grads["product"][step, :rows]
        reset, update, new = self.gates[step, :rows].chunk(3, -1)
        grad_new = _lerp_backward(self, step, rows, update, new)
        grad_reset = self.grads["projected"][step, :rows, :size]
        torch.mul(grad_new * self.new_product[step, :rows], reset - reset * reset, out=grad_reset)
        product[:, : 2 * size] = self.grads["projected"][step, :rows, : 2 * size]
        torch.mul(grad_new, reset, out=product[:, 2 * size :])

    def native_fields(self) -> ctypes.Structure:
        return self.fill(GRUFields, activation=ACTIVATION_CODES[self.options.activation])


class GRUBeforeRun(FusedRun):
    """Reset before the product, W_hn (r ⊙ h): two products per step. Gates: reset, update, new."""

    native_run = "gru_before"
    hidden_skip = True

    def prepare(self) -> None:
        self.reset_hidden = self.buffers["reset_hidden"]

    def allocate(self) -> None:
        self.buffer("reset_hidden", self.steps, self.batch_size, self.hidden_size)

    def allocate_gradients(self) -> None:
        self.grads["product"] = self.gradient_buffer("projected", self.gates)

    def _split_gates(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        gates, new = weight.split([2 * self.hidden_size, self.hidden_size])
        return gates, new

    def prepare_products(self) -> None:
        gates, new = self._split_gates(self.weight)
        bias, new_bias = self._split_gates(self.tensors["bias"])
        self.multiply, self.multiply_new = self.product(gates, bias), self.product(new, new_bias)

    def prepare_products_back(self) -> None:
        gates, new = self._split_gates(self.weight)
        self.multiply, self.multiply_new = self.product(gates.t()), self.product(new.t())

    def torch_forward(self, step: int, rows: int) -> None:
        product, projected = self.recurrent(step, rows), self.tensors["projected"][step, :rows]
        size, gates, old = self.hidden_size, self.gates[step, :rows], self.hiddens[step, :rows]
        reset, update, new = gates.chunk(3, -1)
        torch.add(projected[:, : 2 * size], product, out=gates[:, : 2 * size]).sigmoid_()
        reset_hidden = torch.mul(reset, self.masked(old), out=self.reset_hidden[step, :rows])
        new.copy_(self.activation.function(self.multiply_new(reset_hidden).add_(projected[:, 2 * size :])))
        torch.lerp(new, old, update, out=self.hiddens[step + 1, :rows])

    def torch_backward(self, step: int, rows: int) -> None:
        self.add_output_gradient("hidden", step, rows)
        reset, update, new = self.gates[step, :rows].chunk(3, -1)
        grad_new = _lerp_backward(self, step, rows, update, new)
        grad = self.masked(self.multiply_new(grad_new.contiguous()))
        grad_reset = self.grads["projected"][step, :rows, : self.hidden_size]
        torch.mul(grad * self.hiddens[step, :rows], reset - reset * reset, out=grad_reset)
        self.grad_hidden[:rows].addcmul_(grad, reset)

    def native_fields(self) -> ctypes.Structure:
        return self.fill(GRUBeforeFields, activation=ACTIVATION_CODES[self.options.activation])

    def add_product_gradient(self, step: int, rows: int) -> None:
        grad = self.multiply(self.grads["projected"][step, :rows, : 2 * self.hidden_size].contiguous())
        self.grad_hidden[:rows].add_(self.masked(grad))

    def gradients(self) -> Gradients:
        grads = self.grads["projected"].flatten(0, 1)
        gates, new = (part.contiguous() for part in grads.split([2 * self.hidden_size, self.hidden_size], -1))
        product_inputs = self.masked(self.hiddens[:-1]).flatten(0, 1)
        weight = torch.cat(
            [weight_gradient(gates, product_inputs), weight_gradient(new, self.reset_hidden.flatten(0, 1))]
        )
        return {
            "projected": self.grads["projected"],
            "weight": weight,
            "bias": grads.sum(0),
            "hidden": self.grad_hidden,
        }


def _lerp_backward(run: FusedRun, step: int, rows: int, update: Tensor, new: Tensor) -> Tensor:
    """Backward of h' = (1 − z) ⊙ n + z ⊙ h.

    Writes the gradients of the update gate and the new state, and replaces `grad_hidden` by that of h.

    Args:
        run: the run.
        step: the step.
        rows: active rows.
        update: z.
        new: n.

    Returns:
        The gradient of the new state's pre-activation.
    """
    grad_hidden, old = run.grad_hidden[:rows], run.hiddens[step, :rows]
    _, grad_update, grad_new = run.grads["projected"][step, :rows].chunk(3, -1)
    torch.mul(grad_hidden * (old - new), update - update * update, out=grad_update)
    assert run.activation.slope is not None
    torch.mul(grad_hidden - grad_hidden * update, run.activation.slope(new), out=grad_new)
    grad_hidden.mul_(update)
    return grad_new
