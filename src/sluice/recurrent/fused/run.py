"""Base class of the fused scans: forward and backward over all steps, with one product for the weight gradient."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from sluice.recurrent.activations import find_activation
from sluice.recurrent.devices import to_device
from sluice.recurrent.fused.native import Library, Norm, TimeFields, address, kernels
from sluice.recurrent.products import Product, weight_gradient

MAX_ROWS_UNPACKED = 16
"""With more rows, packing the weight for a single step does not pay off."""


NamedTensors: TypeAlias = dict[str, Any]
"""Tensors by name, None for those that the cell lacks."""
Gradients: TypeAlias = dict[str, Tensor | None]
"""Gradients by tensor name."""


class Schedule(NamedTuple):
    """Number of active rows at each step; rows are sorted, the longest sequence first."""

    active: list[int]
    """Active rows at each of the first max(length) steps."""
    lengths: Tensor | None = None
    """(B,) on the CPU; None where no sequence has padding."""
    consume: bool = False
    """Whether the gates may overwrite the pre-activations."""


class FusedOptions(NamedTuple):
    """Options of a run."""

    activation: str
    cell_activation: str = ""
    """Activation of an LSTM's candidate."""
    coupled: bool = False
    """Whether an LSTM's input gate is 1 − forget gate."""


def split_saved(
    saved: Sequence[Any], tensors: Sequence[str], buffers: Sequence[str]
) -> tuple[NamedTensors, dict[str, Tensor]]:
    """Returns the tensors and the buffers of a run, by name, from those that an autograd function saved.

    Args:
        saved: values of the tensors, then of the buffers.
        tensors: names of the tensors.
        buffers: names of the buffers.
    """
    return (
        dict(zip(tensors, saved[: len(tensors)], strict=True)),
        dict(zip(buffers, saved[len(tensors) :], strict=True)),
    )


class FusedRun:
    """One run of a cell over all steps, from gate pre-activations, with an explicit backward pass.

    With the kernels of c/, a pass is one call (`native_run`, `native_fields`). Without them this class loops over the
    steps and computes the products, and a subclass computes the elementwise part of a step in torch (`torch_forward`,
    `torch_backward`). Sums over time are computed here in both cases.

    Tensors by name: projected (T, B, W; forward only), weight (G, H), bias (G,) or None, mask (B, H) or None, the
    state's fields (B, H), and the cell's additional parameters. The buffers of the forward pass, which include all
    states and gates, are passed to the backward pass.
    """

    native_run: ClassVar[str]
    """Name of the run in kernels.c."""
    fields: ClassVar[tuple[str, ...]] = ("hidden",)
    """Fields of the state."""
    hidden_skip: ClassVar[bool] = False
    """Whether the new hidden state also depends on the old one directly, without the recurrent product."""

    def __init__(
        self, options: FusedOptions, schedule: Schedule, tensors: NamedTensors, buffers: dict[str, Tensor]
    ) -> None:
        """
        Args:
            options: activations and variant.
            schedule: active rows at each step.
            tensors: see the class.
            buffers: empty for a forward pass; those of the forward pass for a backward pass.
        """
        self.options, self.schedule, self.tensors, self.buffers = options, schedule, tensors, buffers
        self.activation = find_activation(options.activation)
        self.weight: Tensor = tensors["weight"]
        self.mask: Tensor | None = tensors["mask"]
        self.hidden_size = self.weight.shape[1]
        if not buffers:
            self._allocate_buffers()
        self.hiddens, self.gates = buffers["hiddens"], buffers["gates"]
        self.steps, self.batch_size = self.gates.shape[:2]
        active = schedule.active
        single_large_step = len(active) == 1 and active[0] > MAX_ROWS_UNPACKED
        self.library: Library | None = None if single_large_step else kernels(self.weight)
        self.grads: dict[str, Tensor] = {}
        self.grad_hidden: Tensor = self.hiddens
        self.prepare()

    def prepare(self) -> None:
        """Sets attributes from the cell's additional parameters and buffers."""

    def _allocate_buffers(self) -> None:
        projected: Tensor = self.tensors["projected"]
        self.steps, self.batch_size = projected.shape[:2]
        self.buffers["gates"] = projected.detach() if self.schedule.consume else torch.empty_like(projected)
        for field in self.fields:
            self.buffer(field + "s", self.steps + 1, self.batch_size, self.hidden_size)
        self.allocate()

    @property
    def has_padding(self) -> bool:
        """Whether some sequence is shorter than the batch."""
        return self.schedule.lengths is not None

    def buffer(self, name: str, *shape: int) -> Tensor:
        """Allocates a buffer of the forward pass, saved for the backward pass; zero beyond each length."""
        self.buffers[name] = self.weight.new_zeros(shape) if self.has_padding else self.weight.new_empty(shape)
        return self.buffers[name]

    def allocate(self) -> None:
        """Allocates the buffers other than states and gates."""

    def forward(self) -> None:
        """Runs the forward pass, filling the buffers."""
        self._set_initial_state()
        if self.library:
            self.run_native("forward", self.library)
            return
        self.prepare_products()
        for step, rows in enumerate(self.schedule.active):
            self.torch_forward(step, rows)

    def _set_initial_state(self) -> None:
        for field in self.fields:
            self.buffers[field + "s"][0] = self.tensors[field]

    def prepare_products(self) -> None:
        """Prepares the products of a forward pass."""
        self.multiply = self.product(self.weight, self.tensors["bias"])

    def prepare_products_back(self) -> None:
        """Prepares the products of a backward pass."""
        self.multiply = self.product(self.weight.t())

    def run_native(self, direction: str, library: Library) -> None:
        """Runs a whole pass, "forward" or "backward", in kernels.c."""
        if self.schedule.active:
            self.native_steps(direction, library)(0, len(self.schedule.active))

    def native_steps(self, direction: str, library: Library) -> Callable[[int, int], None]:
        """Returns a function that computes steps of a pass in kernels.c, from a first one up to an end.

        Its calls must cover the pass from its start: step 0, or the last step of a backward pass.
        """
        active = (ctypes.c_int64 * len(self.schedule.active))(*self.schedule.active)
        torch.get_num_threads()  # applies torch's thread count in a new Python thread
        sizes = {"batch": self.batch_size, "hidden": self.hidden_size, "width": self.weight.shape[0]}
        scratch = self.weight.new_empty(library.scratch_size(*sizes.values()))
        time = TimeFields(
            steps=len(active),
            **sizes,
            hidden_skip=self.hidden_skip,
            active=ctypes.addressof(active),
            scratch=address(scratch),
            **{name: address(self.tensors[name]) for name in ("weight", "bias", "mask")},
            hiddens=address(self.hiddens),
            grad_product=address(self.grads.get("product")),
            grad_hidden=address(self.grads.get("hidden")),
        )
        time.memory = (active, scratch)
        run, function = self.native_fields(), library.passes[f"{self.native_run}_{direction}"]

        def compute(first: int, end: int) -> None:
            time.first, time.end = first, end
            function(ctypes.addressof(time), ctypes.addressof(run))

        return compute

    def steps_forward(self) -> Callable[[int], None]:
        """Starts a pass whose pre-activations are written step by step; returns the function of a step."""
        self._set_initial_state()
        rows = self.schedule.active
        if self.library:
            compute = self.native_steps("forward", self.library)
            return lambda step: compute(step, step + 1)
        self.prepare_products()
        return lambda step: self.torch_forward(step, rows[step])

    def steps_backward(self) -> Callable[[int], None]:
        """Starts a backward pass after `prepare_backward`; returns the function of a step.

        The gradients of the outputs may be written step by step, from the last one.
        """
        if self.library:
            compute = self.native_steps("backward", self.library)
            return lambda step: compute(step, step + 1)
        self.prepare_products_back()
        return self._torch_step_backward

    def _torch_step_backward(self, step: int) -> None:
        rows = self.schedule.active[step]
        self.torch_backward(step, rows)
        self.add_product_gradient(step, rows)

    def product(self, weight: Tensor, bias: Tensor | None = None) -> Product:
        """Prepares a product with this weight for every step."""
        return Product(weight, bias, num_calls=len(self.schedule.active), rows=self.batch_size)

    def recurrent(self, step: int, rows: int) -> Tensor:
        """Returns the recurrent product of a step, (rows, G)."""
        return self.multiply(self.masked(self.first_rows(self.hidden_at[step], rows)))

    @cached_property
    def hidden_at(self) -> tuple[Tensor, ...]:
        """The hidden state before each step, and the last one."""
        return self.hiddens.unbind(0)

    @cached_property
    def product_at(self) -> tuple[Tensor, ...]:
        """The gradient of each step's recurrent product."""
        return self.grads["product"].unbind(0)

    def first_rows(self, tensor: Tensor, rows: int) -> Tensor:
        """Returns the first rows, without slicing where all rows are active."""
        return tensor if rows == self.batch_size else tensor[:rows]

    def masked(self, hidden: Tensor) -> Tensor:
        """Applies the recurrent dropout mask."""
        return hidden if self.mask is None else hidden * self.first_rows(self.mask, hidden.shape[-2])

    def final(self, field: str) -> Tensor:
        """Returns a field of the state at each row's last step, (B, H)."""
        states = self.buffers[field + "s"]
        if self.schedule.lengths is None:
            return states[-1].clone()
        lengths = to_device(self.schedule.lengths, states.device)
        return states[lengths, torch.arange(self.batch_size, device=states.device)]

    def backward(self, grad_states: dict[str, Tensor | None], grad_final: dict[str, Tensor | None]) -> Gradients:
        """Runs the backward pass.

        Args:
            grad_states: gradients of all states by field, (T, B, H) or None.
            grad_final: gradients of the final state by field, (B, H) or None.

        Returns:
            Gradients by tensor name.
        """
        self.prepare_backward(grad_states, grad_final)
        if self.library:
            self.run_native("backward", self.library)
            return self.gradients()
        self.prepare_products_back()
        for step in range(len(self.schedule.active) - 1, -1, -1):
            self._torch_step_backward(step)
        return self.gradients()

    def prepare_backward(self, grad_states: dict[str, Tensor | None], grad_final: dict[str, Tensor | None]) -> None:
        """Initialises the gradients; arguments as in `backward`."""
        for field in self.fields:
            grad, final = grad_states[field], grad_final[field]
            self.grads[f"output_{field}s"] = grad.contiguous() if grad is not None else None  # type: ignore[assignment]
            start = (
                torch.zeros_like(self.hiddens[0])
                if final is None
                else final.clone(memory_format=torch.contiguous_format)
            )
            self.grads[field] = start
        self.grad_hidden = self.grads["hidden"]
        self.allocate_gradients()

    def gradient_buffer(self, name: str, like: Tensor) -> Tensor:
        """Allocates a buffer of the backward pass; zero beyond each length."""
        self.grads[name] = torch.zeros_like(like) if self.has_padding else torch.empty_like(like)
        return self.grads[name]

    def add_product_gradient(self, step: int, rows: int) -> None:
        """Backpropagates through the recurrent product to the state before the step."""
        grad = self.masked(self.multiply(self.first_rows(self.product_at[step], rows)))
        if self.hidden_skip:
            self.first_rows(self.grad_hidden, rows).add_(grad)
        elif rows < self.batch_size:
            self.grad_hidden[:rows] = grad
        else:
            self.grad_hidden = self.grads["hidden"] = grad

    def gradients(self) -> Gradients:
        """Returns the gradients, summed over time; the weight's in a single product."""
        rows = self.grads["product"].flatten(0, 1)
        product_inputs = self.masked(self.hiddens[:-1]).flatten(0, 1)
        initial = {field: self.grads[field] for field in self.fields}
        bias = rows.sum(0) if self.tensors["bias"] is not None else None
        return {
            "projected": self.grads["projected"],
            "weight": weight_gradient(rows, product_inputs),
            "bias": bias,
            **initial,
        }

    def add_output_gradient(self, field: str, step: int, rows: int) -> None:
        """Adds the gradient of a step's output to the gradient from later steps.

        Args:
            field: field of the state.
            step: the step.
            rows: active rows.
        """
        grad = self.grads[f"output_{field}s"]
        if grad is not None:
            self.grads[field][:rows].add_(grad[step, :rows])

    def norm(self, gain: str, bias: str, normal: str, scale: str, grad_gain: str, grad_bias: str) -> Norm:
        """Returns the Norm struct of norm.h; null pointers where a tensor is missing.

        Args:
            gain: name of the parameter.
            bias: name of the parameter.
            normal: name of the buffer.
            scale: name of the buffer.
            grad_gain: name of the gradient.
            grad_bias: name of the gradient.
        """
        parameters = {"gain": self.tensors[gain], "bias": self.tensors[bias]}
        buffers = {"normal": self.buffers.get(normal), "scale": self.buffers.get(scale)}
        grads = {"grad_gain": self.grads.get(grad_gain), "grad_bias": self.grads.get(grad_bias)}
        return Norm(**{name: address(tensor) for name, tensor in {**parameters, **buffers, **grads}.items()})

    def allocate_gradients(self) -> None:
        """Allocates "projected" and "product", the gradients of the pre-activations and of the recurrent product."""
        raise NotImplementedError

    def native_fields(self) -> ctypes.Structure:
        """Returns the run's struct for kernels.c."""
        raise NotImplementedError

    def fill(self, structure: type[ctypes.Structure], **values: int | Norm) -> ctypes.Structure:
        """Returns a struct of kernels.c with these values, and each pointer set to the tensor of its name."""
        fields = structure(batch=self.batch_size, hidden=self.hidden_size, **values)
        for name, kind in structure._fields_:  # type: ignore[misc]
            if kind is ctypes.c_void_p:
                setattr(fields, name, address(self._named(name)))
        return fields

    def _named(self, name: str) -> Tensor | None:
        if name.startswith("grad_"):
            return self.grads.get(_GRADIENTS.get(name, name.removeprefix("grad_")))
        return self.buffers.get(name, self.tensors.get(name))

    def torch_forward(self, step: int, rows: int) -> None:
        """Computes a step of the first `rows` rows in torch."""
        raise NotImplementedError

    def torch_backward(self, step: int, rows: int) -> None:
        """Computes the elementwise backward of a step in torch."""
        raise NotImplementedError


_GRADIENTS = {"grad_outputs": "output_hiddens", "grad_cells": "output_cells"}
"""Gradients whose names differ from those in kernels.c."""
