"""Stacks of recurrent layers in one or two directions."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from sluice.options import INITIAL_STATES
from sluice.recurrent.cells import Cell, CellOptions, Recurrence, make_cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.scan import Run, runs_in_pieces, scan, scan_in_pieces
from sluice.recurrent.states import (
    StackState,
    State,
    join_states,
    map_state,
    split_state,
    state_of_tensors,
    state_tensors,
)


class CellTrace(NamedTuple):
    """States and gates of one layer and direction at every step, zero beyond each length.

    At step t, the backward direction's state is the one after reading the tokens from the end down to t.
    """

    states: State
    """The cell's state tuple, tensors (B, T, H)."""
    gates: dict[str, Tensor]
    """Gate values by gate name, (B, T, H)."""


class StackOutput(NamedTuple):
    """Result of `RecurrentStack.forward`."""

    outputs: Tensor
    """(B, T, directions · H) of the top layer, zero beyond each length."""
    state: StackState
    """The cell's state tuple, tensors (layers · directions, B, H), at each sequence's last step.

    Ordered as in torch: layers from the bottom, forward before backward. The backward direction's last step is the
    sequence's first token. If the layers have unequal sizes, a tuple with a state of tensors (directions, B, H) for
    each layer.
    """


class StackTrace(NamedTuple):
    """Result of `RecurrentStack.trace`."""

    outputs: Tensor
    """As in StackOutput."""
    state: StackState
    """As in StackOutput."""
    cells: list[CellTrace]
    """One for each layer and direction, in the order of the state."""


class RecurrentStack(nn.Module):
    """A stack of recurrent layers for padded batches of variable-length sequences.

    Outputs, final states and gradients equal those of a packed sequence, and of each sequence alone.

    Example:
        >>> stack = RecurrentStack(cell="lstm", input_size=5, hidden_size=4, num_layers=2, bidirectional=True)
        >>> inputs, lengths = torch.randn(3, 7, 5), torch.tensor([7, 2, 4])
        >>> outputs, state = stack(inputs, lengths)
        >>> outputs.shape, state.hidden.shape, state.cell.shape
        (torch.Size([3, 7, 8]), torch.Size([4, 3, 4]), torch.Size([4, 3, 4]))
        >>> bool((outputs[1, 2:] == 0).all())
        True
        >>> trace = stack.trace(inputs, lengths)
        >>> trace.cells[0].states.cell.shape, trace.cells[0].gates["forget"].shape
        (torch.Size([3, 7, 4]), torch.Size([3, 7, 4]))
        >>> stack = RecurrentStack(cell="lstm", input_size=5, hidden_size=[8, 4])  # the state has a part for each layer
        >>> [layer.hidden.shape for layer in stack(inputs, lengths).state]
        [torch.Size([1, 3, 8]), torch.Size([1, 3, 4])]
    """

    def __init__(
        self,
        *,
        cell: str,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int | None = None,
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
            hidden_size: H of every layer and direction, or a list with H of each layer from the bottom.
            num_layers: number of layers; None for one layer, or the length of the list.
            bidirectional: whether to add a backward direction, which starts at each sequence's end.
            dropout: dropout probability between layers.
            variational: whether to drop the same units at every step of a sequence (Gal & Ghahramani 2016).
            residual: whether to add a layer's input to its output, from the second layer on; needs equal sizes.
            initial_state: "zeros", or "learned": a parameter for each layer and direction.
            one_hot: whether the first layer's input is a OneHot.
            options: options of every cell, see CellOptions; None for the defaults.

        Raises:
            ValueError: for an unknown cell or initial state, a size below 1, a number of sizes other than `num_layers`,
                a dropout outside [0, 1), residual connections with a single layer or unequal sizes, or an option that
                the cell does not support.
        """
        super().__init__()
        self.hidden_sizes = _sizes(hidden_size, num_layers)  # of each layer, from the bottom
        _check(self.hidden_sizes, dropout, residual, initial_state)
        self.directions = 2 if bidirectional else 1
        self.num_layers, self.hidden_size = len(self.hidden_sizes), self.hidden_sizes[-1]  # the size of the top layer
        self.output_size = self.directions * self.hidden_size
        self.dropout, self.variational, self.residual = nn.Dropout(dropout), variational, residual
        cells = self._make_cells(cell, input_size, one_hot, options)
        self.cells = nn.ModuleList(cells)
        self.state_type = cells[0].state_type
        self.initial_state = self._learned_state() if initial_state == "learned" else None

    def _make_cells(self, cell: str, input_size: int, one_hot: bool, options: CellOptions | None) -> list[Cell]:
        """Makes a cell for each layer and direction, the lowest layer first."""
        inputs = [(input_size, one_hot), *((self.directions * size, False) for size in self.hidden_sizes[:-1])]
        return [
            make_cell(cell, input_size=size, hidden_size=hidden_size, one_hot=is_one_hot, options=options)
            for (size, is_one_hot), hidden_size in zip(inputs, self.hidden_sizes, strict=True)
            for _ in range(self.directions)
        ]

    def _learned_state(self) -> nn.ParameterList:
        """Makes the initial-state parameters, in the order of `state_tensors`: (layers · directions, 1, H)."""
        return nn.ParameterList(state_tensors(join_states(self._zeros(1), self.directions)))

    def cell_list(self) -> list[Cell]:
        """`cells` as a typed list: layers from the bottom, forward before backward."""
        return cast(list[Cell], list(self.cells))

    def forward(self, inputs: Tensor | OneHot, lengths: Tensor, state: StackState | None = None) -> StackOutput:
        """Runs all layers over a padded batch.

        Args:
            inputs: (B, T, D) features, or a OneHot of (B, T).
            lengths: (B,) int64 on the CPU, 1 <= length <= T.
            state: initial state, of the form of `StackOutput.state`; None for the stack's `initial_state`.

        Returns:
            Outputs and final state, see StackOutput.

        Raises:
            ValueError: if a length does not fit the batch, the state is of other layers or sizes or of another batch
                size, or the inputs have another shape than that of the stack, or another dtype than the weights.
        """
        return StackOutput(*self._run(inputs, lengths, state, trace=False)[:2])

    def trace(self, inputs: Tensor | OneHot, lengths: Tensor, state: StackState | None = None) -> StackTrace:
        """`forward` that also returns the states and gates of every layer, direction and step; slower.

        Args:
            inputs: as in `forward`.
            lengths: as in `forward`.
            state: as in `forward`.
        """
        return StackTrace(*self._run(inputs, lengths, state, trace=True))

    def _run(
        self, inputs: Tensor | OneHot, lengths: Tensor, state: StackState | None, *, trace: bool
    ) -> tuple[Tensor, StackState, list[CellTrace]]:
        _check_inputs(inputs, self.cell_list()[0])
        steps = inputs.ids if isinstance(inputs, OneHot) else inputs
        if lengths.numel() != len(steps):
            raise ValueError(f"a batch of {len(steps)} sequences needs {len(steps)} lengths, got {lengths.numel()}")
        plan = LengthPlan(lengths, steps.shape[1], steps.device)
        states = self._initial_states(len(steps)) if state is None else self._given_states(state, plan)
        cells = self.cell_list()
        recurrents = [cell.recurrence(plan.batch_size) for cell in cells]
        batch_first = all(
            runs_in_pieces(cell, inputs, recurrent, trace) for cell, recurrent in zip(cells, recurrents, strict=True)
        )
        features: Any = inputs if batch_first else plan.to_time_major(inputs)
        finals: list[State] = []
        traces: list[CellTrace] = []
        for layer in range(self.num_layers):
            layer_inputs = features
            runs = self._runs(layer, states, recurrents)
            features = self._dropped(layer_inputs, batch_first) if layer else layer_inputs
            if batch_first:
                features, final = scan_in_pieces(runs, features, plan, batch_first=True)
            else:
                features, final, traced = _run_sorted(runs, features, plan, trace)
                traces += traced
            if self.residual and layer:
                features = features + layer_inputs
            finals += final
        final_state = map_state(plan.restore_rows, join_states(finals, self.directions))
        return features if batch_first else plan.to_batch_major(features), final_state, traces

    def _runs(self, layer: int, states: list[State], recurrents: Sequence[Recurrence]) -> list[Run]:
        cells, indices = self.cell_list(), range(layer * self.directions, (layer + 1) * self.directions)
        return [Run(cells[index], states[index], recurrents[index]) for index in indices]

    def step_dropout_mask(self, batch_size: int, layer: int) -> Tensor | None:
        """Samples a mask (B, H) of variational dropout below a layer for all steps of a run; None without it."""
        if not (self.variational and self.training and self.dropout.p):
            return None
        weight = self.cell_list()[0].weight_hh
        return self.dropout(weight.new_ones(batch_size, self.hidden_sizes[layer - 1]))

    def _dropped(self, features: Tensor, batch_first: bool) -> Tensor:
        """Applies the dropout between layers to (T, B, H), or to (B, T, H) if `batch_first`."""
        if not self.variational:
            return self.dropout(features)
        one_step = features[:, :1] if batch_first else features[:1]
        return features * self.dropout(torch.ones_like(one_step))

    def make_initial_state(self, batch_size: int) -> StackState:
        """Returns the state before the first step, of the form of `StackOutput.state`."""
        return join_states(self._initial_states(batch_size), self.directions)

    def _initial_states(self, batch_size: int) -> list[State]:
        """Returns the state of each cell before the first step, tensors (B, H)."""
        if self.initial_state is None:
            return self._zeros(batch_size)
        learned = state_of_tensors(list(self.initial_state), self.state_type)
        return split_state(map_state(lambda tensor: tensor.expand(-1, batch_size, -1), learned))

    def _zeros(self, batch_size: int) -> list[State]:
        states = [cell.weight_hh.new_zeros(batch_size, cell.hidden_size) for cell in self.cell_list()]
        return [self.state_type(*(zeros for _ in self.state_type._fields)) for zeros in states]

    def _given_states(self, state: StackState, plan: LengthPlan) -> list[State]:
        """Returns the state of each cell, tensors (B, H), sorted, from a state in the caller's order."""
        given_state = state_of_tensors(state_tensors(state), self.state_type)
        rows = [tensor.shape[-2] for tensor in state_tensors(given_state)]
        if any(count != plan.batch_size for count in rows):  # torch's kernels read memory without checking it
            raise ValueError(f"the state is of {rows[0]} sequences and the batch of {plan.batch_size}: use equal sizes")
        states = split_state(map_state(plan.sort_rows, given_state))
        expected = [cell.hidden_size for cell in self.cell_list()]
        if any([tensor.shape[-1] for tensor in part] != expected for part in zip(*states, strict=True)):
            given = [state.hidden.shape[-1] for state in states]
            raise ValueError(f"the state has cells of the sizes {given}, and the stack of the sizes {expected}")
        return states


def _run_sorted(
    runs: Sequence[Run], features: Tensor | OneHot, plan: LengthPlan, trace: bool
) -> tuple[Tensor, list[State], list[CellTrace]]:
    """Runs a layer on sorted inputs: (T, B, D) -> (T, B, H), or (T, B, 2H) for two directions."""
    outputs, finals, traces = [], [], []
    for direction, run in enumerate(runs):
        inputs = plan.reverse(features) if direction else features
        scanned = scan(run.cell, inputs, run.state, plan, run.recurrent, every_state=trace)
        outputs.append(plan.reverse(scanned.outputs) if direction else scanned.outputs)
        finals.append(scanned.final)
        if trace:
            assert scanned.states is not None
            gates = _gates(run, plan.without_padding(inputs), scanned.states)
            traces.append(_trace(plan, scanned.states, gates, reverse=bool(direction)))
    return torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0], finals, traces


def _sizes(hidden_size: int | Sequence[int], num_layers: int | None) -> list[int]:
    """Returns the size of each layer."""
    if isinstance(hidden_size, int):
        num_layers = 1 if num_layers is None else num_layers
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        return [hidden_size] * num_layers
    sizes = list(hidden_size)
    if not sizes or num_layers not in (None, len(sizes)):
        raise ValueError(f"hidden_size={sizes} must have a size for each layer, got num_layers={num_layers}")
    return sizes


def show_sizes(sizes: Sequence[int]) -> str:
    """The size of the layers if they are equal, else a list, as in "[5,4]"."""
    return str(sizes[0]) if len(set(sizes)) == 1 else f"[{','.join(map(str, sizes))}]"


def _check(sizes: list[int], dropout: float, residual: bool, initial_state: str) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
    if residual and len(sizes) == 1:
        raise ValueError("residual=true needs num_layers of 2 or more, got 1")
    if residual and len(set(sizes)) > 1:
        raise ValueError(f"residual=true needs layers of equal size, got hidden_size={show_sizes(sizes)}")
    if initial_state not in INITIAL_STATES:
        raise ValueError(f"unknown initial_state {initial_state!r}: expected one of {', '.join(INITIAL_STATES)}")


def _gates(run: Run, inputs: Tensor | OneHot, states: State) -> dict[str, Tensor]:
    """Recomputes every gate (T, B, H) from the known states, all steps at once."""
    before = type(states)(
        *(torch.cat([first.unsqueeze(0), after[:-1]]) for first, after in zip(run.state, states, strict=True))
    )
    _, gates = run.cell.step(run.cell.project(inputs), before, run.recurrent)
    return dict(zip(run.cell.gates, gates, strict=True))


def _trace(plan: LengthPlan, states: State, gates: dict[str, Tensor], *, reverse: bool) -> CellTrace:
    """(T, B, H) sorted -> (B, T, H) in the caller's order, each step at its token's position."""

    def arrange(tensor: Tensor) -> Tensor:
        mask = plan.mask().unsqueeze(-1)
        return plan.to_batch_major(plan.reverse(tensor * mask) if reverse else tensor * mask)

    arranged = type(states)(*(arrange(tensor) for tensor in states))
    return CellTrace(arranged, {name: arrange(gate) for name, gate in gates.items()})


def _check_inputs(inputs: Tensor | OneHot, cell: Cell) -> None:
    """Checks the inputs of the first cell: torch's LSTM on a CPU reads memory outside the weights if the sizes differ.

    Raises:
        ValueError: for inputs of another shape than those of the cell, or, unless autocast converts both, of another
            dtype than the weights.
    """
    is_one_hot = isinstance(inputs, OneHot)
    shape = (*inputs.ids.shape, inputs.size) if isinstance(inputs, OneHot) else tuple(inputs.shape)
    if is_one_hot != cell.one_hot or len(shape) != 3 or shape[2] != cell.input_size:
        given, expected = ("a OneHot" if one_hot else "features" for one_hot in (is_one_hot, cell.one_hot))
        raise ValueError(
            f"the inputs are {given} of shape {shape}, expected {expected} of shape (batch, steps, {cell.input_size}): "
            "change them, or the input size of the stack"
        )
    weight = cell.weight_hh
    if isinstance(inputs, OneHot) or inputs.dtype == weight.dtype or torch.is_autocast_enabled(inputs.device.type):
        return
    names = [str(dtype).removeprefix("torch.") for dtype in (inputs.dtype, weight.dtype)]
    raise ValueError(f"the inputs are {names[0]} and the weights {names[1]}: convert one of them")
