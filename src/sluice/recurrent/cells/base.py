"""What every cell is: parameters, a step that reads like the equations, and the faster ways that must equal it."""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn import functional as F

from sluice.recurrent.activations import Activation, find_activation
from sluice.recurrent.cells.options import CellOptions
from sluice.recurrent.fused.run import FusedOptions, FusedRun
from sluice.recurrent.initialisers import INITIALISERS, gate_by_gate, xavier
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.products import linear
from sluice.recurrent.states import HiddenState, State

CELLS: dict[str, type["Cell"]] = {}
Kernel: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""A fused function of torch: the outputs, then the parts of the final state."""


def register_cell(name: str) -> Callable[[type["Cell"]], type["Cell"]]:
    """Class decorator that makes a cell known as `model.cell=<name>`.

    Raises:
        ValueError: if another cell has the name.
    """

    def register(cell: type[Cell]) -> type[Cell]:
        there = CELLS.get(name, cell)
        if (there.__module__, there.__qualname__) != (cell.__module__, cell.__qualname__):
            raise ValueError(f"there is a cell {name!r} already, {there.__module__}.{there.__qualname__}")
        CELLS[name] = cell
        return cell

    return register


class Recurrence(NamedTuple):
    """The recurrent product of one call: the weights and the mask that dropout left, the same at every step."""

    weight: Tensor
    """(G·H, H)."""
    bias: Tensor | None
    """(G·H,)."""
    mask: Tensor | None = None
    """(B, H), 0 or 1 / (1 − p); None where nothing is dropped."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """W (m ⊙ h) + b: (..., B, H) -> (..., B, G·H)."""
        return F.linear(hidden if self.mask is None else hidden * self.mask, self.weight, self.bias)

    def rows(self, start: int, end: int | None = None) -> "Recurrence":
        """The same with the weight's rows from `start` on, up to `end`: some of the gates."""
        return Recurrence(self.weight[start:end], None if self.bias is None else self.bias[start:end], self.mask)

    def first(self, batch_size: int) -> "Recurrence":
        """The same for the first rows of the batch."""
        return self if self.mask is None else self._replace(mask=self.mask[:batch_size])


class Cell(nn.Module):
    """One direction of one layer.

    A subclass names its `gates` in the order in which they are stacked and its `state_type`, and writes `step`. That
    is enough to train on any task, with every option but the activations; `fused` and `kernel` make it fast.

    Parameters, G gates of H units each, D inputs:
        weight_ih: (G·H, D); with a one-hot input (D, G·H), a row a word, so that the product is a look-up.
        weight_hh: (G·H, H).
        bias_ih, bias_hh: (G·H,), as torch has them.
    """

    gates: ClassVar[tuple[str, ...]]
    state_type: ClassVar[type[State]] = HiddenState
    own_activations: ClassVar[dict[str, str]] = {}
    """Which activations may be chosen ("activation", "cell_activation") and what they are by default."""
    keeping_gate: ClassVar[str | None] = None
    """The gate whose bias `forget_bias` sets."""
    own_layernorm_init_gain: ClassVar[float] = 1.0
    """What `layernorm_init_gain` is by default."""
    biases: ClassVar[tuple[str, ...]] = ("bias_ih", "bias_hh")
    kernel: ClassVar[Kernel | None] = None
    """torch's fused function for this cell (torch.lstm, ...), None where torch has none."""
    kernel_is_best_on_cpu: ClassVar[bool] = False
    """Whether that function is faster on a CPU than `fused`."""
    hold: ClassVar[tuple[float, ...]] = ()
    """What must be added to each gate's pre-activation so that the kernel's step leaves the state behind the hidden one
    as it is, exactly, whatever else comes to them (as far as it stays well below); empty where nothing can."""
    fused: ClassVar[type[FusedRun] | None] = None
    """The hand-written scan of this cell, None where plain autograd over `step` does it."""

    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init_subclass__(cls, **options: object) -> None:
        """A class with equations of its own does not inherit the fast ways of another's."""
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            without = {"kernel": None, "kernel_is_best_on_cpu": False, "hold": (), "fused": None}
            for way, none in without.items():
                if way not in vars(cls):
                    setattr(cls, way, none)

    def __init__(
        self, *, input_size: int, hidden_size: int, one_hot: bool = False, options: CellOptions | None = None
    ) -> None:
        """
        Args:
            input_size: D, or the vocabulary size V when the input is one-hot.
            hidden_size: H.
            one_hot: the input is a OneHot instead of features.
            options: activations, dropouts, initialisers; None for the defaults.

        Raises:
            ValueError: if a size is below 1, or for an option that is out of range or that this cell doesn't have.
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
        chosen = dict(self.own_activations)
        for name in ("activation", "cell_activation"):
            wanted = getattr(self.options, name)
            if wanted is not None and name not in chosen:
                takes = ", ".join(chosen) or "none"
                raise ValueError(f"{name}={wanted} cannot be used: {type(self).__name__} takes {takes} of its own")
            if wanted is not None:
                chosen[name] = wanted
        return chosen

    def add_parameters(self) -> None:
        """Makes the parameters beside weights and biases."""

    def reset_parameters(self) -> None:
        """Xavier input weights and orthogonal recurrent weights, gate by gate; zero biases but the keeping gate's.

        A one-hot input has a single active unit, so that Xavier's fan-in is 1, not V.
        """
        if self.one_hot:
            bound = math.sqrt(6 / (1 + self.hidden_size))
            nn.init.uniform_(self.weight_ih, -bound, bound)
        else:
            gate_by_gate(self.weight_ih, len(self.gates), xavier)
        gate_by_gate(self.weight_hh, len(self.gates), INITIALISERS[self.options.recurrent_init])
        for bias in (self.bias_ih, self.bias_hh):
            if bias is not None:
                nn.init.zeros_(bias)
        if self.keeping_gate is not None and self.bias_ih is not None:
            part = self.bias_ih.data.chunk(len(self.gates))[self.gates.index(self.keeping_gate)]
            nn.init.constant_(part, self.keeping_bias())

    def keeping_bias(self) -> float:
        """What the keeping gate's bias starts at."""
        return self.options.forget_bias

    def layernorm_init_gain(self) -> float:
        """What the gain of a layer-normalised recurrent product starts at."""
        return (
            self.own_layernorm_init_gain
            if self.options.layernorm_init_gain is None
            else self.options.layernorm_init_gain
        )

    def activate(self, name: str = "activation") -> Callable[[Tensor], Tensor]:
        """The function of "activation" or "cell_activation"."""
        return self.activation(name).function

    def activation(self, name: str) -> Activation:
        return find_activation(self.activations[name])

    def project(self, inputs: Tensor | OneHot) -> Tensor:
        """W_ih x + b_ih for all steps at once: (..., D) or OneHot (...) -> gate pre-activations (..., G·H)."""
        if isinstance(inputs, OneHot):
            product = inputs.times(self.weight_ih)
            return product if self.bias_ih is None else product + self.bias_ih
        return linear(inputs, self.weight_ih, self.bias_ih)

    def recurrence(self, batch_size: int) -> Recurrence:
        """The recurrent product for one run over a batch; in training, dropout is drawn here."""
        weight: Tensor = self.weight_hh
        mask: Tensor | None = None
        if self.training and self.options.weight_dropout:
            weight = F.dropout(weight, self.options.weight_dropout)
        if self.training and self.options.recurrent_dropout:
            kept = 1 - self.options.recurrent_dropout
            mask = weight.new_empty(batch_size, self.hidden_size).bernoulli_(kept).div_(kept)
        return Recurrence(weight, self.bias_hh, mask)

    def step(self, projected: Tensor, state: State, recurrent: Recurrence) -> tuple[State, tuple[Tensor, ...]]:
        """One step of the equations, the reference for every faster way.

        Args:
            projected: (..., B, G·H), what `project` gave for this step.
            state: tensors (..., B, H).
            recurrent: the recurrent product, `recurrent(h)` gives (..., B, G·H).

        Returns:
            The next state, whose `hidden` is the step's output, and the gates' values (..., B, H) in their order.
        """
        raise NotImplementedError

    def fused_options(self) -> FusedOptions:
        """What the fused run is told of this cell."""
        raise NotImplementedError

    def fused_parameters(self) -> dict[str, Tensor | None]:
        """The cell's own parameters by the names that its fused run knows."""
        return {}

    def can_fuse(self) -> bool:
        """Whether the hand-written scan knows this cell's equations."""
        slopes = [self.activation(name).slope for name in self.activations]
        return self.fused is not None and all(slope is not None for slope in slopes)

    def can_use_kernel(self, recurrent: Recurrence) -> bool:
        """Whether torch's function does all that is asked of this cell."""
        return self.kernel is not None and recurrent.mask is None and self.activations == self.own_activations

    def holding_weight(self) -> Tensor:
        """weight_ih for one input more, (G·H, D + 1): where that is 1, the step does what `hold` says."""
        hold = self.weight_ih.new_tensor(self.hold).repeat_interleave(self.hidden_size)
        return torch.cat([self.weight_ih, hold.unsqueeze(1)], 1)

    def run_kernel(self, inputs: Tensor, state: State, recurrent: Recurrence, weight: Tensor) -> tuple[Tensor, State]:
        """torch's function over (T, B, D) features, every row through all T steps.

        Args:
            inputs: (T, B, D), or (T, B, D + 1) with `holding_weight`.
            state: tensors (B, H).
            recurrent: the recurrent product.
            weight: weight_ih or `holding_weight`.

        Returns:
            Outputs (T, B, H) and the state after the last step, tensors (B, H).
        """
        weights = [weight, recurrent.weight, self.bias_ih, self.bias_hh]
        outputs, *final = self._kernel()(
            inputs, self._as_kernel_state(state), weights, True, 1, 0.0, torch.is_grad_enabled(), False, False
        )
        return outputs, self.state_type(*(tensor.squeeze(0) for tensor in final))

    def run_packed(
        self, data: Tensor, batch_sizes: Tensor, state: State, recurrent: Recurrence
    ) -> tuple[Tensor, State]:
        """cuDNN's own variable-length run; on a CPU it is right but 10 to 20 times slower than `run_kernel`.

        Args:
            data: (sum of lengths, D), the packed rows.
            batch_sizes: (T,) int64 on the CPU, rows alive at each step.
            state: tensors (B, H), longest sequence first.
            recurrent: the recurrent product.

        Returns:
            Packed outputs (sum of lengths, H) and the state at each sequence's own end.
        """
        weights = [self.weight_ih, recurrent.weight, self.bias_ih, self.bias_hh]
        outputs, *final = self._kernel()(
            data, batch_sizes, self._as_kernel_state(state), weights, True, 1, 0.0, torch.is_grad_enabled(), False
        )
        return outputs, self.state_type(*(tensor.squeeze(0) for tensor in final))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Cell":
        """Moves or casts the cell, and lays its weights out anew."""
        super()._apply(fn, recurse)
        self.flatten_parameters()
        return self

    def flatten_parameters(self) -> None:
        """Puts the weights of a kernel of cuDNN into one block of memory, as torch.nn's method of this name does.

        Without it every call copies them, and warns. Loading a state keeps the block. Elsewhere it does nothing.
        """
        named = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        weights: list[Tensor] = [weight for weight in named if weight is not None]
        if self.kernel is None or self.one_hot or not _on_cudnn(weights):
            return
        mode = torch.backends.cudnn.rnn.get_cudnn_mode(self.kernel.__name__.upper())
        with torch.no_grad(), torch.cuda.device_of(self.weight_ih):
            torch._cudnn_rnn_flatten_weight(
                weights, len(weights), self.input_size, mode, self.hidden_size, 0, 1, False, False
            )

    def _kernel(self) -> Kernel:
        assert self.kernel is not None
        return self.kernel

    def _as_kernel_state(self, state: State) -> Tensor | list[Tensor]:
        tensors = [tensor.unsqueeze(0).contiguous() for tensor in state]
        return tensors if len(tensors) > 1 else tensors[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (", one_hot=True" if self.one_hot else "")


def _on_cudnn(weights: Sequence[Tensor]) -> bool:
    """Whether cuDNN can take these weights, and takes them as one block."""
    suit = len({weight.dtype for weight in weights}) == 1 and all(
        weight.is_cuda and cudnn.is_acceptable(weight.data) for weight in weights
    )
    return suit and torch._use_cudnn_rnn_flatten_weight()


def make_cell(
    name: str, *, input_size: int, hidden_size: int, one_hot: bool = False, options: CellOptions | None = None
) -> Cell:
    """Builds a cell by its registered name.

    Raises:
        ValueError: for a name that no cell has; the message lists those there are. And what the cell raises.
    """
    if name not in CELLS:
        raise ValueError(f"there is no cell {name!r}; there are {', '.join(sorted(CELLS))}")
    return CELLS[name](input_size=input_size, hidden_size=hidden_size, one_hot=one_hot, options=options)
