"""A stack taken one step at a time, for inputs that are known only once the step before is done."""

import torch
from torch import Tensor

from sluice.recurrent.cells import Cell
from sluice.recurrent.products import linear
from sluice.recurrent.stack import RecurrentStack
from sluice.recurrent.states import State


class StackSteps:
    """One run of a one-directional stack over a batch, step by step; dropout within the cells is drawn once a run.

    The first `known_size` columns of an input may be known for all steps before the run; what the first layer makes
    of them is then one product for all steps.
    """

    def __init__(self, stack: RecurrentStack, batch_size: int, known_size: int) -> None:
        """
        Args:
            stack: the stack.
            batch_size: B.
            known_size: columns of the input that `project` is given; `step` is given the others.

        Raises:
            ValueError: if the stack has two directions.
        """
        if stack.directions != 1:
            raise ValueError("a bidirectional stack cannot be taken step by step: it reads from the end as well")
        self.stack = stack
        self.cells = stack.cell_list()
        self.recurrences = [cell.recurrence(batch_size) for cell in self.cells]
        first = self.cells[0]
        self.known_whole = known_size == first.input_size
        self.in_parts = not self.known_whole and type(first).project is Cell.project
        if self.in_parts:
            sizes = [known_size, first.input_size - known_size]
            parts = first.weight_ih.split(sizes, 1)
            self.known_weight, self.carried_weight = (part.contiguous() for part in parts)  # oneDNN crawls on views

    def begin(self, state: State) -> list[State]:
        """(layers, B, H) -> the states (B, H) of the layers, which `step` takes."""
        return [self.stack.state_type(*parts) for parts in zip(*(tensor.unbind(0) for tensor in state), strict=True)]

    def end(self, states: list[State]) -> State:
        """`begin`'s inverse."""
        return self.stack.state_type(*(torch.stack(parts) for parts in zip(*states, strict=True)))

    def project(self, known: Tensor) -> Tensor:
        """What can be made of the known columns at once: (..., known_size) -> (..., P), which `step` takes by steps."""
        if self.known_whole:
            return self.cells[0].project(known)
        return linear(known, self.known_weight, self.cells[0].bias_ih) if self.in_parts else known

    def step(self, projected: Tensor, carried: Tensor | None, states: list[State]) -> tuple[Tensor, list[State]]:
        """One step.

        Args:
            projected: (B, P), what `project` made for this step.
            carried: (B, C), the other columns of the input; None where there are none.
            states: of the layers, tensors (B, H).

        Returns:
            The top layer's output (B, H) and the layers' next states.
        """
        after: list[State] = []
        pre_activations, features = self._first(projected, carried), projected
        for layer, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            below = features
            if layer:
                pre_activations = cell.project(self.stack.dropout(below))
            own, _ = cell.step(pre_activations, state, self.recurrences[layer])
            features = own.hidden + below if self.stack.residual and layer else own.hidden
            after.append(own)
        return features, after

    def _first(self, projected: Tensor, carried: Tensor | None) -> Tensor:
        """Gate pre-activations (B, G·H) of the first layer."""
        if carried is None:
            return projected
        if self.in_parts:
            return projected + linear(carried, self.carried_weight)
        return self.cells[0].project(torch.cat([projected, carried], -1))
