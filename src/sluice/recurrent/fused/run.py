"""One run of a fast cell through time: forward, backward, and one weight-gradient product for the whole sequence."""

import ctypes
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from sluice.recurrent.activations import find_activation
from sluice.recurrent.devices import to_device
from sluice.recurrent.fused.native import Library, Norm, TimeFields, address, kernels
from sluice.recurrent.products import Product, weight_gradient

FEW_ROWS = 16
"""With more of them, a single step is not worth packing a weight for."""


NamedTensors: TypeAlias = dict[str, Any]
"""Tensors by name; None stands for one that the cell hasn't."""
Gradients: TypeAlias = dict[str, Tensor | None]
"""By the names of the tensors."""


class Schedule(NamedTuple):
    """How many rows go on at each step; rows are sorted, the longest sequence first."""

    alive: list[int]
    """Rows at each of the first max(length) steps."""
    lengths: Tensor | None = None
    """(B,) on the CPU; None where every row runs through all steps."""
    consume: bool = False
    """Whether the gates may take the memory of the pre-activations, which then nobody else may need."""


class FusedOptions(NamedTuple):
    """Which cell of its kind a run is for."""

    activation: str
    cell_activation: str = ""
    """Of an LSTM's candidate."""
    coupled: bool = False
    """Whether an LSTM's input gate is one minus its forget gate."""


class FusedRun:
    """One run of a cell through time, from gate pre-activations, with a backward pass written by hand.

    With the kernels of c/ a pass is one call (`native_run`, `native_fields`). Without them the loop and the products
    are here, and a subclass has the elementwise work of a step in torch (`torch_forward`, `torch_backward`). What is
    summed over time is here in both cases.

    Tensors come by name: projected (T, B, W; forward only), weight (G, H), bias (G,) or None, mask (B, H) or None, the
    state's fields (B, H), and the cell's own parameters. The buffers of the forward pass, the states from the first on
    and the gates among them, are what the backward pass is given back.
    """

    native_run: ClassVar[str]
    """What kernels.c calls it."""
    fields: ClassVar[tuple[str, ...]] = ("hidden",)
    keeps_hidden: ClassVar[bool] = False
    """Whether the old hidden state also reaches the new one past the recurrent product."""

    def __init__(
        self, options: FusedOptions, schedule: Schedule, tensors: NamedTensors, buffers: dict[str, Tensor]
    ) -> None:
        self.options, self.schedule, self.tensors, self.buffers = options, schedule, tensors, buffers
        self.activation = find_activation(options.activation)
        self.weight: Tensor = tensors["weight"]
        self.mask: Tensor | None = tensors["mask"]
        self.hidden_size = self.weight.shape[1]
        if not buffers:
            self._begin()
        self.hiddens, self.gates = buffers["hiddens"], buffers["gates"]
        self.steps, self.batch_size = self.gates.shape[:2]
        self.hidden_at = self.hiddens.unbind(0)
        alive = schedule.alive
        packs_for_one = len(alive) == 1 and alive[0] > FEW_ROWS
        self.library: Library | None = None if packs_for_one else kernels(self.weight)
        self.grads: dict[str, Tensor] = {}
        self.grad_hidden: Tensor = self.hiddens
        self.product_at: tuple[Tensor, ...] = ()
        self.prepare()

    def prepare(self) -> None:
        """Takes what the steps need of the cell's own parameters and buffers."""

    def _begin(self) -> None:
        projected: Tensor = self.tensors["projected"]
        self.steps, self.batch_size = projected.shape[:2]
        self.buffers["gates"] = projected.detach() if self.schedule.consume else torch.empty_like(projected)
        for field in self.fields:
            self.buffer(field + "s", self.steps + 1, self.batch_size, self.hidden_size)
        self.allocate()

    @property
    def ragged(self) -> bool:
        return self.schedule.lengths is not None

    def buffer(self, name: str, *shape: int) -> Tensor:
        """A new buffer of the forward pass, kept for the backward pass; zero beyond each length."""
        self.buffers[name] = self.weight.new_zeros(shape) if self.ragged else self.weight.new_empty(shape)
        return self.buffers[name]

    def allocate(self) -> None:
        """Makes the buffers beside the states."""

    def forward(self) -> None:
        """Fills the buffers."""
        for field in self.fields:
            self.buffers[field + "s"][0] = self.tensors[field]
        if self.library:
            self.pass_in_c("forward", self.library)
            return
        self.prepare_products()
        for step, rows in enumerate(self.schedule.alive):
            self.torch_forward(step, rows)

    def prepare_products(self) -> None:
        """Those of a forward pass."""
        self.multiply = self.product(self.weight, self.tensors["bias"])

    def prepare_products_back(self) -> None:
        """Those of a backward pass."""
        self.multiply = self.product(self.weight.t())

    def pass_in_c(self, direction: str, library: Library) -> None:
        """A whole pass by kernels.c."""
        if not self.schedule.alive:
            return
        alive = (ctypes.c_int64 * len(self.schedule.alive))(*self.schedule.alive)
        torch.get_num_threads()  # what was set holds for a new thread once it has asked
        sizes = {"batch": self.batch_size, "hidden": self.hidden_size, "width": self.weight.shape[0]}
        scratch = self.weight.new_empty(library.scratch_size(*sizes.values()))
        time = TimeFields(
            steps=len(alive),
            **sizes,
            keeps_hidden=self.keeps_hidden,
            alive=ctypes.addressof(alive),
            scratch=address(scratch),
            **{name: address(self.tensors[name]) for name in ("weight", "bias", "mask")},
            hiddens=address(self.hiddens),
            grad_product=address(self.grads.get("product")),
            grad_hidden=address(self.grads.get("hidden")),
        )
        run = self.native_fields()
        library.passes[f"{self.native_run}_{direction}"](ctypes.addressof(time), ctypes.addressof(run))

    def product(self, weight: Tensor, bias: Tensor | None = None) -> Product:
        return Product(weight, bias, uses=len(self.schedule.alive), rows=self.batch_size)

    def recurrent(self, step: int, rows: int) -> Tensor:
        """The recurrent product of a step, (rows, G)."""
        return self.multiply(self.masked(self.first(self.hidden_at[step], rows)))

    def first(self, tensor: Tensor, rows: int) -> Tensor:
        """The first rows; a slice costs more than asking whether it is needed."""
        return tensor if rows == self.batch_size else tensor[:rows]

    def masked(self, hidden: Tensor) -> Tensor:
        return hidden if self.mask is None else hidden * self.first(self.mask, hidden.shape[-2])

    def final(self, field: str) -> Tensor:
        """(B, H), the state at each row's own end."""
        states = self.buffers[field + "s"]
        if self.schedule.lengths is None:
            return states[-1].clone()
        lengths = to_device(self.schedule.lengths, states.device)
        return states[lengths, torch.arange(self.batch_size, device=states.device)]

    def backward(self, of_states: dict[str, Tensor | None], of_final: dict[str, Tensor | None]) -> Gradients:
        """Gradients by the names of the tensors, from those of all states (T, B, H) and of the final state (B, H)."""
        self.prepare_backward(of_states, of_final)
        if self.library:
            self.pass_in_c("backward", self.library)
            return self.gradients()
        self.prepare_products_back()
        for step in range(len(self.schedule.alive) - 1, -1, -1):
            rows = self.schedule.alive[step]
            self.torch_backward(step, rows)
            self.reach_back(step, rows)
        return self.gradients()

    def prepare_backward(self, of_states: dict[str, Tensor | None], of_final: dict[str, Tensor | None]) -> None:
        for field in self.fields:
            came, final = of_states[field], of_final[field]
            self.grads[f"of_{field}s"] = came.contiguous() if came is not None else None  # type: ignore[assignment]
            start = (
                torch.zeros_like(self.hiddens[0])
                if final is None
                else final.clone(memory_format=torch.contiguous_format)
            )
            self.grads[field] = start
        self.grad_hidden = self.grads["hidden"]
        self.allocate_gradients()
        self.product_at = self.grads["product"].unbind(0)

    def gradient_buffer(self, name: str, like: Tensor) -> Tensor:
        """A buffer of the backward pass; zero beyond each length."""
        self.grads[name] = torch.zeros_like(like) if self.ragged else torch.empty_like(like)
        return self.grads[name]

    def reach_back(self, step: int, rows: int) -> None:
        """Adds what the recurrent product carries back to the state before the step."""
        came = self.masked(self.multiply(self.first(self.product_at[step], rows)))
        if self.keeps_hidden:
            self.first(self.grad_hidden, rows).add_(came)
        elif rows < self.batch_size:
            self.grad_hidden[:rows] = came
        else:
            self.grad_hidden = self.grads["hidden"] = came

    def gradients(self) -> Gradients:
        """Sums over time: the weight's gradient in a single product."""
        rows = self.grads["product"].flatten(0, 1)
        fed = self.masked(self.hiddens[:-1]).flatten(0, 1)
        own = {field: self.grads[field] for field in self.fields}
        bias = rows.sum(0) if self.tensors["bias"] is not None else None
        return {"projected": self.grads["projected"], "weight": weight_gradient(rows, fed), "bias": bias, **own}

    def arrived(self, field: str, step: int, rows: int) -> None:
        """Adds the gradient of a step's own output to what came from later steps."""
        came = self.grads[f"of_{field}s"]
        if came is not None:
            self.grads[field][:rows].add_(came[step, :rows])

    def norm(self, gain: str, bias: str, normal: str, scale: str, grad_gain: str, grad_bias: str) -> Norm:
        """Norm of norm.h, from the names of its parameters, buffers and gradients; null where nothing is."""
        given = {"gain": self.tensors[gain], "bias": self.tensors[bias]}
        made = {"normal": self.buffers.get(normal), "scale": self.buffers.get(scale)}
        grads = {"grad_gain": self.grads.get(grad_gain), "grad_bias": self.grads.get(grad_bias)}
        return Norm(**{name: address(tensor) for name, tensor in {**given, **made, **grads}.items()})

    def allocate_gradients(self) -> None:
        """Makes "projected" and "product", the gradients of the pre-activations and of the recurrent product."""
        raise NotImplementedError

    def native_fields(self) -> ctypes.Structure:
        """The run as kernels.c wants it."""
        raise NotImplementedError

    def fill(self, structure: type[ctypes.Structure], **given: int | Norm) -> ctypes.Structure:
        """A structure of kernels.c: the given numbers, and for each pointer the tensor that has its name here."""
        fields = structure(batch=self.batch_size, hidden=self.hidden_size, **given)
        for name, kind in structure._fields_:  # type: ignore[misc]
            if kind is ctypes.c_void_p:
                setattr(fields, name, address(self._named(name)))
        return fields

    def _named(self, name: str) -> Tensor | None:
        if name.startswith("grad_"):
            return self.grads.get(_GRADIENTS.get(name, name.removeprefix("grad_")))
        return self.buffers.get(name, self.tensors.get(name))

    def torch_forward(self, step: int, rows: int) -> None:
        raise NotImplementedError

    def torch_backward(self, step: int, rows: int) -> None:
        raise NotImplementedError


_GRADIENTS = {"grad_outputs": "of_hiddens", "grad_cells": "of_cells"}
"""Gradients that kernels.c calls otherwise."""
