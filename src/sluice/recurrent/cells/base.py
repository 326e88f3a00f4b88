"""Base class of the cells: parameters, a reference step that reads like the equations, and faster equivalents."""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn import functional as F

from sluice.recurrent.activations import Activation, find_activation
from sluice.recurrent.cells.options import CellOptions
from sluice.recurrent.devices import lacks_autocast
from sluice.recurrent.fused.run import FusedOptions, FusedRun
from sluice.recurrent.initialisers import INITIALISERS, gate_by_gate, uniform, xavier
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.products import linear
from sluice.recurrent.states import HiddenState, State
from sluice.torch_internals import accepts_flat_cudnn_weights, flatten_cudnn_weights

CELLS: dict[str, type["Cell"]] = {}
Kernel: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""A built-in function of torch; returns the outputs, then the fields of the final state."""


def register_cell(name: str) -> Callable[[type["Cell"]], type["Cell"]]:
    """Class decorator that registers a cell as `model.cell=<name>`.

    Example:
        >>> from sluice.recurrent import HiddenState, RecurrentStack
        >>> @register_cell("leaky_rnn")
        ... class LeakyRNNCell(Cell):
        ...     gates = ("new",)
        ...
        ...     def step(self, projected, state, recurrent):
        ...         new = torch.tanh(projected + recurrent(state.hidden))
        ...         return HiddenState(0.9 * state.hidden + 0.1 * new), (new,)
        >>> stack = RecurrentStack(cell="leaky_rnn", input_size=5, hidden_size=4)
        >>> stack(torch.randn(2, 7, 5), torch.tensor([7, 3])).outputs.shape
        torch.Size([2, 7, 4])
        >>> del CELLS["leaky_rnn"]

    Raises:
        ValueError: if the name is already registered.
    """

    def register(cell: type[Cell]) -> type[Cell]:
        registered = CELLS.get(name, cell)
        if (registered.__module__, registered.__qualname__) != (cell.__module__, cell.__qualname__):
            raise ValueError(f"cell {name!r} is already registered: {registered.__module__}.{registered.__qualname__}")
        CELLS[name] = cell
        return cell

    return register


class Recurrence(NamedTuple):
    """The recurrent product of one call: weights and dropout mask, the same at every step."""

    weight: Tensor
    """(G·H, H)."""
    bias: Tensor | None
    """(G·H,)."""
    mask: Tensor | None = None
    """(B, H), 0 or 1 / (1 − p); None where nothing is dropped."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """W (m ⊙ h) + b: (..., B, H) -> (..., B, G·H)."""
        return linear(hidden if self.mask is None else hidden * self.mask, self.weight, self.bias)

    def rows(self, start: int, end: int | None = None) -> "Recurrence":
        """The product restricted to the weight's rows from `start` to `end`, for some of the gates."""
        return Recurrence(self.weight[start:end], None if self.bias is None else self.bias[start:end], self.mask)

    def first_rows(self, batch_size: int) -> "Recurrence":
        """The product for the first rows of the batch."""
        return self if self.mask is None else self._replace(mask=self.mask[:batch_size])


class Cell(nn.Module):
    """Base class of the cells: one direction of one layer.

    A subclass defines `gates` in the order in which they are stacked, `state_type`, and `step`. This suffices to train
    on any task, with every option except the activations; `fused` and `kernel` make it fast. See `register_cell`.

    Parameters, for G gates of H units each and D inputs:
        weight_ih: (G·H, D); with a one-hot input (D, G·H), one row per word, so that the product is a look-up.
        weight_hh: (G·H, H).
        bias_ih, bias_hh: (G·H,), as in torch.
    """

    gates: ClassVar[tuple[str, ...]]
    state_type: ClassVar[type[State]] = HiddenState
    default_activations: ClassVar[dict[str, str]] = {}
    """Defaults of the activations that can be chosen ("activation", "cell_activation")."""
    forget_bias_gate: ClassVar[str | None] = None
    """The gate whose bias `forget_bias` initialises."""
    default_layernorm_init_gain: ClassVar[float] = 1.0
    """Default of `layernorm_init_gain`."""
    biases: ClassVar[tuple[str, ...]] = ("bias_ih", "bias_hh")
    kernel: ClassVar[Kernel | None] = None
    """torch's built-in function for this cell (torch.lstm, ...), None where torch has none."""
    kernel_is_best_on_cpu: ClassVar[bool] = False
    """Whether `kernel` is faster than `fused` on a CPU."""
    freeze_bias: ClassVar[tuple[float, ...]] = ()
    """Offset of each gate's pre-activation that keeps the cell state unchanged in the kernel's step, exactly for
    moderate pre-activations; empty where there is none."""
    projects_rows: ClassVar[bool] = True
    """Whether `project` treats every step on its own, so that it need not be given those of the padding."""
    adds_recurrent_bias: ClassVar[bool] = False
    """Whether `bias_hh` is only added to the pre-activations, without a gate or a normalisation before."""
    fused: ClassVar[type[FusedRun] | None] = None
    """The fused scan of this cell, None to run `step` under plain autograd."""

    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init_subclass__(cls, **options: object) -> None:
        """Resets the inherited fast implementations in a subclass that defines its own `step` or `project`."""
        super().__init_subclass__(**options)
        if "project" in vars(cls) and "projects_rows" not in vars(cls):
            cls.projects_rows = False
        if "step" in vars(cls):
            unset = {
                "kernel": None,
                "kernel_is_best_on_cpu": False,
                "freeze_bias": (),
                "adds_recurrent_bias": False,
                "fused": None,
            }
            for name, value in unset.items():
                if name not in vars(cls):
                    setattr(cls, name, value)

    def __init__(
        self, *, input_size: int, hidden_size: int, one_hot: bool = False, options: CellOptions | None = None
    ) -> None:
        """
        Args:
            input_size: D, or the vocabulary size V when the input is one-hot.
            hidden_size: H.
            one_hot: whether the input is a OneHot instead of features.
            options: activations, dropouts, initialisers; None for the defaults.

        Raises:
            ValueError: if a size is below 1, or for an option that is out of range or not supported by this cell.
        """
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise ValueError(f"sizes must be at least 1, got input_size={input_size}, hidden_size={hidden_size}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.one_hot, self.options = one_hot, options or CellOptions()
        self.options.check()
        self.activations = self._choose_activations()
        rows = len(self.gates) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty((input_size, rows) if one_hot else (rows, input_size)))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, nn.Parameter(torch.empty(rows)) if name in self.biases else None)
        self.add_parameters()
        self.reset_parameters()

    def _choose_activations(self) -> dict[str, str]:
        chosen = dict(self.default_activations)
        for name in ("activation", "cell_activation"):
            wanted = getattr(self.options, name)
            if wanted is not None and name not in chosen:
                options = ", ".join(chosen) or "no activation option"
                raise ValueError(f"{name}={wanted} cannot be used: {type(self).__name__} supports {options}")
            if wanted is not None:
                chosen[name] = wanted
        return chosen

    def add_parameters(self) -> None:
        """Creates the parameters other than weights and biases."""

    def reset_parameters(self) -> None:
        """Initialises the parameters: Xavier input weights, orthogonal recurrent weights, zero biases.

        Weights are initialised gate by gate. The bias of `forget_bias_gate` starts at `initial_forget_bias()`. A
        one-hot input has a single active unit, so its Xavier fan-in is 1, not V. With `recurrent_init="uniform"`, all
        weights and biases are those of torch.nn, and `initial_forget_bias()` is added.
        """
        biases = [bias for bias in (self.bias_ih, self.bias_hh) if bias is not None]
        for bias in biases:
            nn.init.zeros_(bias)
        if self.options.recurrent_init == "uniform":
            weight = self.weight_ih.t() if self.one_hot else self.weight_ih  # gates along the first dimension
            for parameter in (weight, *biases):
                gate_by_gate(parameter, len(self.gates), uniform)
        elif self.one_hot:
            bound = math.sqrt(6 / (1 + self.hidden_size))
            nn.init.uniform_(self.weight_ih, -bound, bound)
        else:
            gate_by_gate(self.weight_ih, len(self.gates), xavier)
        gate_by_gate(self.weight_hh, len(self.gates), INITIALISERS[self.options.recurrent_init])
        if self.forget_bias_gate is not None and self.bias_ih is not None:
            part = self.bias_ih.data.chunk(len(self.gates))[self.gates.index(self.forget_bias_gate)]
            part.add_(self.initial_forget_bias())

    def initial_forget_bias(self) -> float:
        """Initial bias of `forget_bias_gate`."""
        return self.options.forget_bias

    def layernorm_init_gain(self) -> float:
        """Initial gain of a layer-normalised recurrent product."""
        return (
            self.default_layernorm_init_gain
            if self.options.layernorm_init_gain is None
            else self.options.layernorm_init_gain
        )

    def activate(self, name: str = "activation") -> Callable[[Tensor], Tensor]:
        """Returns the function of "activation" or "cell_activation"."""
        return self.activation(name).function

    def activation(self, name: str) -> Activation:
        """Returns the function and derivative of "activation" or "cell_activation"."""
        return find_activation(self.activations[name])

    def project(self, inputs: Tensor | OneHot) -> Tensor:
        """W_ih x + b_ih for all steps at once: (..., D) or OneHot (...) -> gate pre-activations (..., G·H)."""
        if isinstance(inputs, OneHot):
            product = inputs.times(self.weight_ih)
            return product if self.bias_ih is None else product + self.bias_ih
        return linear(inputs, self.weight_ih, self.bias_ih)

    def project_fused(self, inputs: Tensor | OneHot, recurrent: Recurrence) -> tuple[Tensor, Recurrence]:
        """`project` for the fused run, which adds both biases at once if the cell permits it, with one gradient."""
        overridden = type(self).project is not Cell.project
        if overridden or not self.adds_recurrent_bias or recurrent.bias is None or isinstance(inputs, OneHot):
            return self.project(inputs), recurrent
        bias = recurrent.bias if self.bias_ih is None else self.bias_ih + recurrent.bias
        return linear(inputs, self.weight_ih, bias), recurrent._replace(bias=None)

    def recurrence(self, batch_size: int) -> Recurrence:
        """Returns the recurrent product for one run over a batch; samples dropout in training."""
        weight: Tensor = self.weight_hh
        mask: Tensor | None = None
        if self.training and self.options.weight_dropout:
            weight = F.dropout(weight, self.options.weight_dropout)
        if self.training and self.options.recurrent_dropout:
            p_kept = 1 - self.options.recurrent_dropout
            mask = weight.new_empty(batch_size, self.hidden_size).bernoulli_(p_kept).div_(p_kept)
        return Recurrence(weight, self.bias_hh, mask)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        """Computes one step of the equations, the reference for every faster implementation.

        Args:
            projected: (..., B, G·H), the result of `project` for this step.
            state: tensors (..., B, H).
            recurrent: the recurrent product, `recurrent(h)` gives (..., B, G·H).

        Returns:
            The next state, whose `hidden` is the step's output, and the gates' values (..., B, H) in their order.
        """
        raise NotImplementedError

    def fused_options(self) -> FusedOptions:
        """Returns the options passed to the fused run."""
        raise NotImplementedError

    def fused_parameters(self) -> dict[str, Tensor | None]:
        """Returns the cell's additional parameters by the names that its fused run uses."""
        return {}

    def can_fuse(self) -> bool:
        """Returns whether the fused scan supports this cell."""
        slopes = [self.activation(name).slope for name in self.activations]
        return self.fused is not None and all(slope is not None for slope in slopes)

    def can_use_kernel(self, recurrent: Recurrence) -> bool:
        """Returns whether torch's kernel supports this cell's options and the recurrent product."""
        return self.kernel is not None and recurrent.mask is None and self.activations == self.default_activations

    def freezing_weight(self) -> Tensor:
        """Returns weight_ih with a column for one more input, (G·H, D + 1); the cell state is frozen where it is 1."""
        freeze_bias = self.weight_ih.new_tensor(self.freeze_bias).repeat_interleave(self.hidden_size)
        return torch.cat([self.weight_ih, freeze_bias.unsqueeze(1)], 1)

    def run_kernel(self, inputs: Tensor, state: State, recurrent: Recurrence, weight: Tensor) -> tuple[Tensor, State]:
        """Runs torch's kernel over (T, B, D) features, every row through all T steps.

        Args:
            inputs: (T, B, D), or (T, B, D + 1) with `freezing_weight`.
            state: tensors (B, H).
            recurrent: the recurrent product.
            weight: weight_ih or `freezing_weight()`.

        Returns:
            Outputs (T, B, H) and the state after the last step, tensors (B, H).
        """
        if lacks_autocast(inputs.device):
            with torch.autocast(inputs.device.type, enabled=False):
                full = self.state_type(*(part.to(weight.dtype) for part in state))
                return self.run_kernel(inputs.to(weight.dtype), full, recurrent, weight)
        weights = [weight, recurrent.weight, self.bias_ih, self.bias_hh]
        outputs, *final = self._kernel()(
            inputs, self._as_kernel_state(state), weights, True, 1, 0.0, torch.is_grad_enabled(), False, False
        )
        return outputs, self._kernel_state(final)

    def run_packed(
        self, data: Tensor, batch_sizes: Tensor, state: State, recurrent: Recurrence
    ) -> tuple[Tensor, State]:
        """Runs torch's kernel over a packed sequence; on a CPU this is 10 to 20 times slower than `run_kernel`.

        Args:
            data: (sum of lengths, D), the packed rows.
            batch_sizes: (T,) int64 on the CPU, active rows at each step.
            state: tensors (B, H), longest sequence first.
            recurrent: the recurrent product.

        Returns:
            Packed outputs (sum of lengths, H) and the state at each sequence's last step.
        """
        weights = [self.weight_ih, recurrent.weight, self.bias_ih, self.bias_hh]
        outputs, *final = self._kernel()(
            data, batch_sizes, self._as_kernel_state(state), weights, True, 1, 0.0, torch.is_grad_enabled(), False
        )
        return outputs, self._kernel_state(final)

    def _kernel_state(self, final: Sequence[Tensor]) -> State:
        """Returns the state (B, H) of torch's tensors (1, B, H), in the dtype of the weights also under autocast."""
        return self.state_type(*(tensor.squeeze(0).to(self.weight_hh.dtype) for tensor in final))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Cell":
        """Moves or casts the cell, then flattens its weights again."""
        super()._apply(fn, recurse)
        self.flatten_parameters()
        return self

    def flatten_parameters(self) -> None:
        """Stores the weights of a cuDNN kernel in one contiguous chunk of memory, as torch.nn.RNN does.

        Otherwise every call copies them and warns. Loading a state dict keeps the chunk. No effect without cuDNN.
        """
        named = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        weights: list[Tensor] = [weight for weight in named if weight is not None]
        if self.kernel is None or self.one_hot or not _on_cudnn(weights):
            return
        sizes = {"input_size": self.input_size, "hidden_size": self.hidden_size}
        with torch.no_grad(), torch.cuda.device_of(self.weight_ih):
            flatten_cudnn_weights(weights, **sizes, mode=self.kernel.__name__.upper())

    def _kernel(self) -> Kernel:
        assert self.kernel is not None
        return self.kernel

    def _as_kernel_state(self, state: State) -> Tensor | list[Tensor]:
        tensors = [tensor.unsqueeze(0).contiguous() for tensor in state]
        return tensors if len(tensors) > 1 else tensors[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (", one_hot=True" if self.one_hot else "")


def _on_cudnn(weights: Sequence[Tensor]) -> bool:
    """Returns whether cuDNN accepts these weights as one contiguous chunk."""
    suit = len({weight.dtype for weight in weights}) == 1 and all(
        weight.is_cuda and cudnn.is_acceptable(weight.data) for weight in weights
    )
    return suit and accepts_flat_cudnn_weights()


def make_cell(
    name: str, *, input_size: int, hidden_size: int, one_hot: bool = False, options: CellOptions | None = None
) -> Cell:
    """Builds a cell by its registered name.

    Example:
        >>> cell = make_cell("gru", input_size=5, hidden_size=4, options=CellOptions(recurrent_init="xavier"))
        >>> cell.gates, cell.weight_ih.shape
        (('reset', 'update', 'new'), torch.Size([12, 5]))
        >>> zeros = HiddenState(torch.zeros(2, 4))
        >>> state, gates = cell.step(cell.project(torch.randn(2, 5)), zeros, cell.recurrence(2))
        >>> state.hidden.shape
        torch.Size([2, 4])

    Args:
        name: a registered cell: "rnn", "gru", "lstm", ...
        input_size: D, or the vocabulary size V when the input is one-hot.
        hidden_size: H.
        one_hot: whether the input is a OneHot instead of features.
        options: activations, dropouts, initialisers; None for the defaults.

    Raises:
        ValueError: for an unknown name (the message lists the known ones), or for arguments that the cell rejects.
    """
    if name not in CELLS:
        raise ValueError(f"unknown cell {name!r}: expected one of {', '.join(sorted(CELLS))}")
    return CELLS[name](input_size=input_size, hidden_size=hidden_size, one_hot=one_hot, options=options)
