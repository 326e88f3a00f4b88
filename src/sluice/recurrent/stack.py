"""Layers of cells in one or two directions: what a task uses of this package."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from sluice.options import INITIAL_STATES
from sluice.recurrent.cells import Cell, CellOptions, Recurrence, make_cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.scan import Run, runs_in_pieces, scan, scan_in_pieces
from sluice.recurrent.states import State


class CellTrace(NamedTuple):
    """What one layer and direction went through, every step of it; zero beyond each length.

    The backward direction's step t is its state after it has read the tokens from the end down to t.
    """

    states: State
    """The cell's state tuple, tensors (B, T, H)."""
    gates: dict[str, Tensor]
    """Each gate's value by its name, (B, T, H)."""


class StackOutput(NamedTuple):
    """What a stack returns."""

    outputs: Tensor
    """(B, T, directions · H) of the top layer, zero beyond each length."""
    state: State
    """The cell's state tuple, tensors (layers · directions, B, H), at each sequence's own last step.

    Layers from the bottom, forward before backward, as torch has it. The backward direction's last step is the
    sequence's first token.
    """


class StackTrace(NamedTuple):
    """What a stack returns with everything in between."""

    outputs: Tensor
    """As StackOutput has it."""
    state: State
    """As StackOutput has it."""
    cells: list[CellTrace]
    """One for each layer and direction, in the order of the state."""


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
        variational: bool = False,
        residual: bool = False,
        initial_state: str = "zeros",
        one_hot: bool = False,
        options: CellOptions | None = None,
    ) -> None:
        """
        Args:
            cell: a registered cell: "rnn", "gru", "lstm", "lstm_peephole", ...
            input_size: D, or the vocabulary size when `one_hot`.
            hidden_size: H of every layer and direction.
            num_layers: layers.
            bidirectional: a second run over each sequence from its own end.
            dropout: share of a layer's outputs dropped before the next layer.
            variational: the same units are dropped at every step of a sequence (Gal & Ghahramani 2016).
            residual: adds a layer's input to its output, from the second layer on.
            initial_state: "zeros", or "learned": a parameter for each layer and direction.
            one_hot: the first layer's input is a OneHot.
            options: of every cell, see CellOptions; None for the defaults.

        Raises:
            ValueError: for an unknown cell or initial state, a size below 1, a dropout outside [0, 1), residual
                connections with a single layer, or an option that the cell refuses.
        """
        super().__init__()
        _check(num_layers, dropout, residual, initial_state)
        self.directions = 2 if bidirectional else 1
        self.hidden_size, self.num_layers, self.residual = hidden_size, num_layers, residual
        self.output_size = self.directions * hidden_size
        self.dropout, self.variational = nn.Dropout(dropout), variational
        cells = self._make_cells(cell, input_size, one_hot, options)
        self.cells = nn.ModuleList(cells)
        self.state_type = cells[0].state_type
        self.initial_state = _learned_state(cells, hidden_size) if initial_state == "learned" else None

    def _make_cells(self, cell: str, input_size: int, one_hot: bool, options: CellOptions | None) -> list[Cell]:
        """One for each layer and direction, the lowest layer first."""
        inputs = [(input_size, one_hot)] + [(self.output_size, False)] * (self.num_layers - 1)
        return [
            make_cell(cell, input_size=size, hidden_size=self.hidden_size, one_hot=hot, options=options)
            for size, hot in inputs
            for _ in range(self.directions)
        ]

    def cell_list(self) -> list[Cell]:
        """`cells` as a list of their own type: from the bottom, forward before backward."""
        return cast(list[Cell], list(self.cells))

    def forward(self, inputs: Tensor | OneHot, lengths: Tensor, state: State | None = None) -> StackOutput:
        """
        Args:
            inputs: (B, T, D) features, or a OneHot of (B, T).
            lengths: (B,) int64 on the CPU, 1 <= length <= T.
            state: initial state, tensors (layers · directions, B, H); None takes the stack's own.

        Returns:
            Outputs and final state, see StackOutput.

        Raises:
            ValueError: if a length does not fit the batch.
        """
        return StackOutput(*self._run(inputs, lengths, state, trace=False)[:2])

    def trace(self, inputs: Tensor | OneHot, lengths: Tensor, state: State | None = None) -> StackTrace:
        """`forward` that also returns every state and every gate of every layer, direction and step; slower."""
        return StackTrace(*self._run(inputs, lengths, state, trace=True))

    def _run(
        self, inputs: Tensor | OneHot, lengths: Tensor, state: State | None, *, trace: bool
    ) -> tuple[Tensor, State, list[CellTrace]]:
        shape, device = (
            (inputs.ids.shape, inputs.ids.device) if isinstance(inputs, OneHot) else (inputs.shape, inputs.device)
        )
        if lengths.numel() != shape[0]:
            raise ValueError(f"a batch of {shape[0]} sequences needs as many lengths, got {lengths.numel()}")
        plan = LengthPlan(lengths, shape[1], device)
        if state is None:
            state = self.first_state(shape[0])
        else:
            state = self.state_type(*(plan.sort_rows(tensor) for tensor in state))
        cells = self.cell_list()
        recurrents = [cell.recurrence(plan.batch_size) for cell in cells]
        as_given = all(
            runs_in_pieces(cell, inputs, recurrent, trace) for cell, recurrent in zip(cells, recurrents, strict=True)
        )
        features: Any = inputs if as_given else plan.to_time_major(inputs)
        finals: list[State] = []
        traces: list[CellTrace] = []
        for layer in range(self.num_layers):
            below = features
            runs = self._runs(layer, state, recurrents)
            features = self._dropped(below, as_given) if layer else below
            if as_given:
                features, final = scan_in_pieces(runs, features, plan, as_given=True)
            else:
                features, final, traced = _run_sorted(runs, features, plan, trace)
                traces += traced
            if self.residual and layer:
                features = features + below
            finals += final
        stacked = self.state_type(*(plan.restore_rows(torch.stack(parts)) for parts in zip(*finals, strict=True)))
        return features if as_given else plan.to_batch_major(features), stacked, traces

    def _runs(self, layer: int, state: State, recurrents: Sequence[Recurrence]) -> list[Run]:
        cells, places = self.cell_list(), range(layer * self.directions, (layer + 1) * self.directions)
        return [
            Run(cells[place], self.state_type(*(tensor[place] for tensor in state)), recurrents[place])
            for place in places
        ]

    def _dropped(self, features: Tensor, batch_first: bool) -> Tensor:
        """(T, B, H), or (B, T, H), some units zeroed."""
        if not self.variational:
            return self.dropout(features)
        one_step = features[:, :1] if batch_first else features[:1]
        return features * self.dropout(torch.ones_like(one_step))

    def first_state(self, batch_size: int) -> State:
        """The state before the first step, tensors (layers · directions, B, H)."""
        if self.initial_state is not None:
            return self.state_type(*(tensor.expand(-1, batch_size, -1) for tensor in self.initial_state))
        zeros = next(self.parameters()).new_zeros(len(self.cells), batch_size, self.hidden_size)
        return self.state_type(*(zeros for _ in self.state_type._fields))


def _run_sorted(
    runs: Sequence[Run], features: Tensor | OneHot, plan: LengthPlan, trace: bool
) -> tuple[Tensor, list[State], list[CellTrace]]:
    """(T, B, D) -> (T, B, H), or (T, B, 2H)."""
    outputs, finals, traces = [], [], []
    for direction, run in enumerate(runs):
        own_inputs = plan.reverse(features) if direction else features
        scanned = scan(run.cell, own_inputs, run.state, plan, run.recurrent, every_state=trace)
        outputs.append(plan.reverse(scanned.outputs) if direction else scanned.outputs)
        finals.append(scanned.final)
        if trace:
            assert scanned.states is not None
            gates = _gates(run, plan.without_padding(own_inputs), scanned.states)
            traces.append(_trace(plan, scanned.states, gates, reverse=bool(direction)))
    return torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0], finals, traces


def _learned_state(cells: list[Cell], hidden_size: int) -> nn.ParameterList:
    """An initial state for each cell, by parts of the state."""
    shape = (len(cells), 1, hidden_size)
    return nn.ParameterList([torch.zeros(shape) for _ in cells[0].state_type._fields])


def _check(num_layers: int, dropout: float, residual: bool, initial_state: str) -> None:
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {num_layers}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
    if residual and num_layers == 1:
        raise ValueError(f"residual=true joins layers: it needs num_layers of 2 or more, got {num_layers}")
    if initial_state not in INITIAL_STATES:
        raise ValueError(f"there is no initial state {initial_state!r}; there are {', '.join(INITIAL_STATES)}")


def _gates(run: Run, inputs: Tensor | OneHot, states: State) -> dict[str, Tensor]:
    """Every gate at every step, (T, B, H): all steps at once, now that the states before them are known."""
    before = type(states)(
        *(torch.cat([first.unsqueeze(0), all_[:-1]]) for first, all_ in zip(run.state, states, strict=True))
    )
    _, gates = run.cell.step(run.cell.project(inputs), before, run.recurrent)
    return dict(zip(run.cell.gates, gates, strict=True))


def _trace(plan: LengthPlan, states: State, gates: dict[str, Tensor], *, reverse: bool) -> CellTrace:
    """(T, B, H) sorted -> (B, T, H) in the caller's order, each step at its own token."""

    def arrange(tensor: Tensor) -> Tensor:
        inside = plan.mask().unsqueeze(-1)
        return plan.to_batch_major(plan.reverse(tensor * inside) if reverse else tensor * inside)

    arranged = type(states)(*(arrange(tensor) for tensor in states))
    return CellTrace(arranged, {name: arrange(gate) for name, gate in gates.items()})
