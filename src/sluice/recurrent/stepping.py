"""Runs a stack one step at a time, for inputs that depend on the output of the previous step."""

import torch
from torch import Tensor

from sluice.recurrent.cells import Cell
from sluice.recurrent.products import linear
from sluice.recurrent.stack import RecurrentStack
from sluice.recurrent.states import StackState, State, join_states, split_state


class StackStepper:
    """One run of a unidirectional stack over a batch, step by step; variational and recurrent dropout are
    sampled once per run.

    The first `known_size` columns of the input may be known for all steps in advance; the first layer then projects
    them for all steps in one product.
    """

    def __init__(self, stack: RecurrentStack, batch_size: int, known_size: int, *, single: bool = False) -> None:
        """
        Args:
            stack: the stack.
            batch_size: B.
            known_size: number of input columns passed to `project`; the others are passed to `step`.
            single: whether only one step follows, for which splitting the input weight does not pay off.

        Raises:
            ValueError: if the stack has two directions.
        """
        if stack.directions != 1:
            raise ValueError("a bidirectional stack cannot run step by step: its backward direction starts at the end")
        self.stack, self.batch_size = stack, batch_size
        self.cells = stack.cell_list()
        self.recurrences = [cell.recurrence(batch_size) for cell in self.cells]
        self.masks = [None, *(stack.step_dropout_mask(batch_size, layer) for layer in range(1, stack.num_layers))]
        first = self.cells[0]
        self.all_known = known_size == first.input_size
        self.splits_weight = not self.all_known and not single and type(first).project is Cell.project
        if self.splits_weight:
            sizes = [known_size, first.input_size - known_size]
            parts = first.weight_ih.split(sizes, 1)
            self.known_weight, self.dependent_weight = (part.contiguous() for part in parts)  # oneDNN is slow on views

    def dropout_masks(self, steps: int) -> list[Tensor | None]:
        """Returns the masks (T, B, H) of the dropout below each layer, None without; samples those of single steps."""
        stack, above = self.stack, range(1, len(self.cells))
        if stack.variational or not (stack.training and stack.dropout.p):
            return [None if mask is None else mask.expand(steps, *mask.shape) for mask in self.masks]
        ones = [self.cells[0].weight_hh.new_ones(self.batch_size, stack.hidden_sizes[layer - 1]) for layer in above]
        sampled = [[stack.dropout(one) for one in ones] for _ in range(steps)]
        return [None, *(torch.stack(masks) for masks in zip(*sampled, strict=True))]

    def split_state(self, state: StackState) -> list[State]:
        """Splits a state of the stack into the per-layer states (B, H) that `step` takes."""
        return split_state(state)

    def join_state(self, states: list[State]) -> StackState:
        """Inverse of `split_state`."""
        return join_states(states, self.stack.directions)

    def project(self, known: Tensor) -> Tensor:
        """Projects the known columns of all steps, (..., known_size) -> (..., P), to be passed to `step` one by one."""
        if self.all_known:
            return self.cells[0].project(known)
        return linear(known, self.known_weight, self.cells[0].bias_ih) if self.splits_weight else known

    def step(self, projected: Tensor, dependent: Tensor | None, states: list[State]) -> tuple[Tensor, list[State]]:
        """Computes one step.

        Args:
            projected: (B, P), the result of `project` for this step.
            dependent: (B, C), the other columns of the input; None if there are none.
            states: the layers' states, tensors (B, H).

        Returns:
            The top layer's output (B, H) and the layers' next states.
        """
        next_states: list[State] = []
        pre_activations, features = self._first(projected, dependent), projected
        for layer, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            layer_inputs = features
            if layer:
                mask = self.masks[layer]
                dropped = self.stack.dropout(layer_inputs) if mask is None else layer_inputs * mask
                pre_activations = cell.project(dropped)
            next_state, _ = cell.step(pre_activations, state, self.recurrences[layer])
            features = next_state.hidden + layer_inputs if self.stack.residual and layer else next_state.hidden
            next_states.append(next_state)
        return features, next_states

    def _first(self, projected: Tensor, dependent: Tensor | None) -> Tensor:
        """Returns the first layer's gate pre-activations (B, G·H)."""
        if dependent is None:
            return projected
        if self.splits_weight:
            return projected + linear(dependent, self.dependent_weight)
        return self.cells[0].project(torch.cat([projected, dependent], -1))
