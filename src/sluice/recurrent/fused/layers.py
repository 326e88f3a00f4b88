"""The layers of a stack one step at a time, with an explicit backward pass over all steps."""

from typing import NamedTuple

import torch
from torch import Tensor

from sluice.recurrent.fused.run import FusedOptions, FusedRun, Gradients, NamedTensors, Schedule
from sluice.recurrent.products import Product, weight_gradient


class Layers(NamedTuple):
    """Properties of the layers that are not tensors."""

    runs: tuple[tuple[type[FusedRun], FusedOptions], ...]
    """Type and options of each layer's run, from the bottom."""
    residual: bool
    """Whether the input of a layer is added to its output, from the second layer on."""


class LayersRun:
    """One run of a stack whose inputs depend on its outputs; see FusedRun for the form of tensors and buffers.

    Each name of a tensor or buffer starts with the number of its layer, as in "0 weight". Additional tensors are
    "0 dependent_weight" (G·H, C), the columns of the first layer's input weight for inputs that become known step by
    step, and from the second layer on input_weight (G·H, D), input_bias (G·H,) and input_mask (T, B, D) or None. The
    buffer inputs (T, B, D) has the inputs of a layer after dropout.
    """

    def __init__(self, layers: Layers, tensors: NamedTensors, buffers: dict[str, Tensor]) -> None:
        """
        Args:
            layers: properties of the layers.
            tensors: see the class; in a backward pass without the pre-activations.
            buffers: empty for a forward pass, which fills it; those of the forward pass for a backward pass.
        """
        self.layers, self.tensors, self.buffers = layers, tensors, buffers
        self._depth = len(layers.runs)
        first: Tensor = tensors["0 projected"] if not buffers else buffers["0 gates"]
        self.steps, self.batch_size = first.shape[:2]
        if not buffers:
            self._allocate(first)
        self.runs = [self._run(layer) for layer in range(self._depth)]

    def _allocate(self, first: Tensor) -> None:
        for layer in range(1, self._depth):
            width, size = self.tensors[f"{layer} input_weight"].shape
            self.tensors[f"{layer} projected"] = first.new_empty(self.steps, self.batch_size, width)
            self.buffers[f"{layer} inputs"] = first.new_empty(self.steps, self.batch_size, size)

    def _run(self, layer: int) -> FusedRun:
        run_type, options = self.layers.runs[layer]
        tensors, buffers = (_of_layer(layer, named) for named in (self.tensors, self.buffers))
        buffers.pop("inputs", None)
        run = run_type(options, Schedule([self.batch_size] * self.steps, consume=True), tensors, buffers)
        self.buffers |= {f"{layer} {name}": buffer for name, buffer in buffers.items()}
        return run

    def _product(self, weight: Tensor, bias: Tensor | None = None) -> Product:
        return Product(weight, bias, num_calls=self.steps, rows=self.batch_size)

    def start_forward(self) -> None:
        """Starts a forward pass."""
        above, tensors = range(1, self._depth), self.tensors
        self._products = [self._product(tensors["0 dependent_weight"])]
        self._products += [self._product(tensors[f"{n} input_weight"], tensors[f"{n} input_bias"]) for n in above]
        self._computes = [run.steps_forward() for run in self.runs]

    def step_forward(self, step: int, dependent: Tensor) -> Tensor:
        """Computes a step with the dependent inputs (B, C); returns the top layer's output (B, H)."""
        outputs = dependent
        for layer, compute in enumerate(self._computes):
            projected = self.tensors[f"{layer} projected"][step]
            if layer == 0:
                projected.add_(self._products[0](dependent))
            else:
                inputs, mask = self.buffers[f"{layer} inputs"][step], self.tensors[f"{layer} input_mask"]
                inputs.copy_(outputs if mask is None else outputs * mask[step])
                projected.copy_(self._products[layer](inputs))
            compute(step)
            hidden = self.runs[layer].hiddens[step + 1]
            outputs = outputs + hidden if self.layers.residual and layer else hidden
        return outputs

    def start_backward(self) -> None:
        """Starts a backward pass."""
        weights = ["0 dependent_weight", *(f"{layer} input_weight" for layer in range(1, self._depth))]
        self._products = [self._product(self.tensors[name].t()) for name in weights]
        self._grad_hiddens = [torch.empty_like(run.hiddens[1:]) for run in self.runs]
        for run, grads in zip(self.runs, self._grad_hiddens, strict=True):
            nothing = dict.fromkeys(run.fields)
            run.prepare_backward({**nothing, "hidden": grads}, {**nothing})
        self._computes = [run.steps_backward() for run in self.runs]

    def step_backward(self, step: int, grad: Tensor) -> Tensor:
        """Computes a step from the gradient of its output (B, H); returns that of the dependent inputs (B, C)."""
        for layer in reversed(range(self._depth)):
            self._grad_hiddens[layer][step] = grad
            self._computes[layer](step)
            grad_inputs = self._products[layer](self.runs[layer].grads["projected"][step])
            if layer:
                mask = self.tensors[f"{layer} input_mask"]
                grad_inputs = grad_inputs if mask is None else grad_inputs * mask[step]
                grad_inputs = grad + grad_inputs if self.layers.residual else grad_inputs
            grad = grad_inputs
        return grad

    def gradients(self, dependents: Tensor) -> Gradients:
        """Returns the gradients of all tensors, given the dependent inputs of all steps (T, B, C)."""
        found: Gradients = {}
        for layer, run in enumerate(self.runs):
            found |= {f"{layer} {name}": grad for name, grad in run.gradients().items()}
            rows = run.grads["projected"].flatten(0, 1)
            inputs = self.buffers[f"{layer} inputs"] if layer else dependents
            weight = weight_gradient(rows, inputs.flatten(0, 1))
            found[f"{layer} input_weight" if layer else "0 dependent_weight"] = weight
            if layer and self.tensors[f"{layer} input_bias"] is not None:
                found[f"{layer} input_bias"] = rows.sum(0)
        return found


def _of_layer(layer: int, named: NamedTensors) -> NamedTensors:
    prefix = f"{layer} "
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
