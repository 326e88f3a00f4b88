"""Adagrad with one accumulator per row."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from sluice.torch_internals import entries_of_sparse

EPSILON = 1e-10
Loss = TypeVar("Loss", float, Tensor)


class RowAdagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011) that accumulates the mean squared gradient of each row.

    Intended for embedding tables: rows of frequent words take smaller steps, and the state has one value per row. A
    sparse gradient updates only its own rows.
    """

    def __init__(self, params: ParamsT, *, lr: float) -> None:
        """
        Args:
            params: parameters or parameter groups.
            lr: η in row ← row − η g / √(Σ mean(g²)).

        Raises:
            ValueError: for a learning rate that is not above 0.
        """
        if not lr > 0:
            raise ValueError(f"lr must be above 0, got {lr}")
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Loss] | None = None) -> Loss | None:  # type: ignore[override]
        """Performs a step; returns the result of `closure`, if any."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group["lr"])
        return loss

    def _step(self, table: Tensor, gradient: Tensor, lr: float | Tensor) -> None:
        state = self.state[table]
        if not state:
            state["squares"] = table.new_zeros(len(table) if table.dim() else 1)
        squares: Tensor = state["squares"]
        if gradient.is_sparse:
            touched, rows = summed_rows(gradient)
            squares[touched] += rows.square().mean(1)
            table[touched] -= rows * (lr / (squares[touched].sqrt() + EPSILON)).unsqueeze(1)
            return
        rows = gradient.reshape(len(squares), -1)
        squares += rows.square().mean(1)
        table -= (rows * (lr / (squares.sqrt() + EPSILON)).unsqueeze(1)).view_as(table)


def summed_rows(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the unique row ids of a sparse gradient, and the sum of the rows of each id."""
    indices, rows = entries_of_sparse(gradient)
    ids = indices[0]
    order = ids.argsort()
    touched, counts = ids[order].unique_consecutive(return_counts=True)
    return touched, F.embedding_bag(order, rows, counts.cumsum(0) - counts, mode="sum")
