"""Layers of cells in one or two directions: what a task uses of this package."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sluice.recurrent.cells import make_cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.scan import scan
from sluice.recurrent.states import State

INITIAL_STATES = ("zeros", "learned")


class StackOutput(NamedTuple):
    """What a stack returns."""

    outputs: Tensor
    """(B, T, directions · H) of the top layer, zero beyond each length."""
    state: Any
    """The cell's state tuple, tensors (layers · directions, B, H), at each sequence's own last step.

    Layers from the bottom, forward before backward, as torch has it. The backward direction's last step is the
    sequence's first token.
    """


class RecurrentStack(nn.Module):
    """A stack of recurrent layers that gives exactly what a packed sequence gives, without packing.

    Runs of different lengths share a batch; outputs, final states and gradients are those of each sequence alone.
    """

    def __init__(
        self,
        *,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        initial_state: str = "zeros",
        forget_bias: float = 1.0,
        one_hot: bool = False,
    ) -> None:
        """
        Args:
            cell: a registered cell: "rnn", "rnn_relu", "gru", "lstm", ...
            input_size: D, or the vocabulary size when `one_hot`.
            hidden_size: H of every layer and direction.
            num_layers: layers.
            bidirectional: a second run over each sequence from its own end.
            dropout: share of a layer's outputs dropped before the next layer.
            initial_state: "zeros", or "learned": a parameter for each layer and direction.
            forget_bias: see the cell.
            one_hot: the first layer's input is a OneHot.

        Raises:
            ValueError: for an unknown cell or initial state, a size below 1 or a dropout outside [0, 1).
        """
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        if initial_state not in INITIAL_STATES:
            raise ValueError(f"there is no initial state {initial_state!r}; there are {', '.join(INITIAL_STATES)}")
        self.directions = 2 if bidirectional else 1
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.output_size = self.directions * hidden_size
        self.dropout = nn.Dropout(dropout)
        sizes: dict[str, Any] = {"hidden_size": hidden_size, "forget_bias": forget_bias}
        inputs = [(input_size, one_hot)] + [(self.output_size, False)] * (num_layers - 1)
        cells = [
            make_cell(cell, input_size=size, one_hot=hot, **sizes)
            for size, hot in inputs
            for _ in range(self.directions)
        ]
        self.cells = nn.ModuleList(cells)
        self.state_type: Any = cells[0].state_type
        self.initial_state: Any = None
        if initial_state == "learned":
            shape = (len(self.cells), 1, hidden_size)
            self.initial_state = nn.ParameterList([torch.zeros(shape) for _ in cells[0].state_type._fields])

    def forward(self, inputs: Tensor | OneHot, lengths: Tensor, state: State | None = None) -> StackOutput:
        """
        Args:
            inputs: (B, T, D) features, or a OneHot of (B, T).
            lengths: (B,) int64 on the CPU, 1 <= length <= T.
            state: initial state, tensors (layers · directions, B, H); None takes the stack's own.

        Returns:
            Outputs and final state, see StackOutput.
        """
        shape, device = (
            (inputs.ids.shape, inputs.ids.device) if isinstance(inputs, OneHot) else (inputs.shape, inputs.device)
        )
        plan = LengthPlan(lengths, shape[1], device)
        if state is None:
            state = self.first_state(shape[0])
        else:
            state = self.state_type(*(plan.sort_rows(tensor) for tensor in state))
        features = plan.to_time_major(inputs)
        finals = []
        for layer in range(self.num_layers):
            if layer:
                features = self.dropout(features)
            features, final = self._run_layer(layer, features, state, plan)
            finals += final
        stacked = self.state_type(*(plan.restore_rows(torch.stack(parts)) for parts in zip(*finals, strict=True)))
        return StackOutput(plan.to_batch_major(features), stacked)

    def first_state(self, batch_size: int) -> State:
        """The state before the first step, tensors (layers · directions, B, H)."""
        if self.initial_state is not None:
            return self.state_type(*(tensor.expand(-1, batch_size, -1) for tensor in self.initial_state))
        zeros = next(self.parameters()).new_zeros(len(self.cells), batch_size, self.hidden_size)
        return self.state_type(*(zeros for _ in self.state_type._fields))

    def _run_layer(self, layer: int, features: Any, state: State, plan: LengthPlan) -> tuple[Tensor, list[State]]:
        outputs, finals = [], []
        for direction in range(self.directions):
            index = layer * self.directions + direction
            own_inputs = plan.reverse(features) if direction else features
            own_state = self.state_type(*(tensor[index] for tensor in state))
            output, final = scan(self.cells[index], own_inputs, own_state, plan)  # type: ignore[arg-type]
            outputs.append(plan.reverse(output) if direction else output)
            finals.append(final)
        return torch.cat(outputs, -1) if direction else output, finals
