"""What every cell is: parameters, a step that reads like the equations, and a scan over many steps."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.recurrent.initialisers import gate_by_gate, orthogonal, xavier
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.states import HiddenState, State

CELLS: dict[str, type["Cell"]] = {}


def register_cell(name: str) -> Callable[[type["Cell"]], type["Cell"]]:
    """Class decorator that makes a cell known as `model.cell=<name>`."""

    def register(cell: type[Cell]) -> type[Cell]:
        CELLS[name] = cell
        return cell

    return register


def make_cell(name: str, **sizes: Any) -> "Cell":
    """Builds a cell by its registered name; the sizes go to its constructor.

    Raises:
        ValueError: for a name that no cell has; the message lists those there are.
    """
    if name not in CELLS:
        raise ValueError(f"there is no cell {name!r}; there are {', '.join(sorted(CELLS))}")
    return CELLS[name](**sizes)


class Cell(nn.Module):
    """One direction of one layer.

    A subclass names its `gates` in the order in which they are stacked, its `state_type`, and writes `step`. That is
    enough to train with any task; `kernel` (a fused torch function) and a `scan_projected` of its own make it fast.

    Parameters, G gates of H units each, D inputs:
        weight_ih: (G·H, D); with a one-hot input (D, G·H), a row a word, so that the product is a look-up.
        weight_hh: (G·H, H).
        bias_ih, bias_hh: (G·H,), as torch has them.
    """

    gates: ClassVar[tuple[str, ...]]
    state_type: ClassVar[type[HiddenState] | type[Any]] = HiddenState
    kernel: ClassVar[Callable[..., Any] | None] = None
    """torch's fused function for this cell (torch.lstm, ...), None where torch has none."""

    def __init__(self, *, input_size: int, hidden_size: int, one_hot: bool = False, forget_bias: float = 1.0) -> None:
        """
        Args:
            input_size: D, or the vocabulary size V when the input is one-hot.
            hidden_size: H.
            one_hot: the input is a OneHot instead of features.
            forget_bias: initial bias of the gate that keeps the old state; cells without one ignore it.

        Raises:
            ValueError: if a size is below 1.
        """
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise ValueError(f"sizes must be at least 1, got input_size={input_size}, hidden_size={hidden_size}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.one_hot, self.forget_bias = one_hot, forget_bias
        rows = len(self.gates) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty((input_size, rows) if one_hot else (rows, input_size)))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier input weights and orthogonal recurrent weights, gate by gate; zero biases.

        A one-hot input has a single active unit, so that Xavier's fan-in is 1, not V.
        """
        if self.one_hot:
            bound = math.sqrt(6 / (1 + self.hidden_size))
            nn.init.uniform_(self.weight_ih, -bound, bound)
        else:
            gate_by_gate(self.weight_ih, len(self.gates), xavier)
        gate_by_gate(self.weight_hh, len(self.gates), orthogonal)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)

    def project(self, inputs: Tensor | OneHot) -> Tensor:
        """W_ih x + b_ih for all steps at once: (..., D) or OneHot (...) -> gate pre-activations (..., G·H)."""
        if isinstance(inputs, OneHot):
            return inputs.times(self.weight_ih) + self.bias_ih
        return F.linear(inputs, self.weight_ih, self.bias_ih)

    def step(self, projected: Tensor, state: State) -> State:
        """One step of the equations, the reference for every faster way.

        Args:
            projected: (B, G·H), what `project` gave for this step.
            state: tensors (B, H).

        Returns:
            The next state; its `hidden` is the step's output.
        """
        raise NotImplementedError

    def scan(self, inputs: Tensor | OneHot, state: State) -> tuple[Tensor, State]:
        """Runs the cell over (T, B, D) features or a time-major OneHot, every row through all T steps.

        Returns:
            Outputs (T, B, H) and the state after the last step, tensors (B, H).
        """
        if isinstance(inputs, OneHot) or self.kernel is None:
            return self.scan_projected(self.project(inputs), state)
        return self._scan_kernel(inputs, state)

    def scan_projected(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """`scan` from gate pre-activations (T, B, G·H) on; this general one unrolls `step`."""
        outputs = []
        for at_step in projected.unbind(0):
            state = self.step(at_step, state)
            outputs.append(state.hidden)
        return torch.stack(outputs), state

    def scan_packed(self, data: Tensor, batch_sizes: Tensor, state: State) -> tuple[Tensor, State]:
        """cuDNN's own variable-length run (needs `kernel`); on CPU it is right but 10 to 20 times slower than `scan`.

        Args:
            data: (sum of lengths, D), the packed rows.
            batch_sizes: (T,) int64 on the CPU, rows alive at each step.
            state: tensors (B, H), longest sequence first.

        Returns:
            Packed outputs (sum of lengths, H) and the state at each sequence's own end.
        """
        initial = self._as_kernel_state(state)
        outputs, *final = self._kernel()(
            data, batch_sizes, initial, self._weights(), True, 1, 0.0, torch.is_grad_enabled(), False
        )
        return outputs, self.state_type(*(tensor.squeeze(0) for tensor in final))

    def _scan_kernel(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        initial = self._as_kernel_state(state)
        outputs, *final = self._kernel()(
            inputs, initial, self._weights(), True, 1, 0.0, torch.is_grad_enabled(), False, False
        )
        return outputs, self.state_type(*(tensor.squeeze(0) for tensor in final))

    def _kernel(self) -> Callable[..., Any]:
        assert self.kernel is not None
        return self.kernel

    def _as_kernel_state(self, state: State) -> Any:
        tensors = [tensor.unsqueeze(0) for tensor in state]
        return tensors if len(tensors) > 1 else tensors[0]

    def _weights(self) -> list[Tensor]:
        return [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (", one_hot=True" if self.one_hot else "")
