"""Runs sequences of different lengths through a dense kernel with exact results.

A packed sequence gives the correct result, but its CPU kernel trains 10 to 20 times slower than the dense one. A few
dense calls give the same result: sort the batch by length, split the time axis where sequences end, and run each piece
on the rows still active, carrying the state over. Where a split is not worth a further call, a sequence that has ended
is padded and its state frozen (see `Cell.freeze_bias`). packing.py makes the pieces.
"""

from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from sluice.recurrent.devices import to_device
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.packing import Packing, split_at_ends

MUCH_PADDING = 0.1
"""Fraction of padding from which computing a projection without it pays off, measured on a CPU."""
CALL_COST = 100
"""Padding steps that cost an LSTM's kernel as much as one more call, measured on a CPU."""


def check_lengths(lengths: Tensor, steps: int) -> None:
    """Checks the lengths of a padded batch of `steps`.

    Raises:
        ValueError: if `lengths` is empty, not on the CPU or not of integers, or a length is below 1 or above `steps`.
    """
    if lengths.is_floating_point():
        raise ValueError(f"lengths must be integers, got {lengths.dtype}: convert them")
    if lengths.device.type != "cpu":
        raise ValueError(f"lengths must be on the CPU, got {lengths.device}")
    if lengths.numel() == 0 or int(lengths.min()) < 1 or int(lengths.max()) > steps:
        raise ValueError(f"lengths must lie between 1 and the {steps} steps of the batch, got {lengths.tolist()}")


class LengthPlan:
    """The sorting order, pieces and reversal for the lengths of one batch; shared by all layers and directions.

    Tensors are time-major (T, B, ...) with the longest sequence first, except where a packing takes `batch_first`.
    """

    def __init__(self, lengths: Tensor, steps: int, device: torch.device) -> None:
        """
        Args:
            lengths: (B,) int64 on the CPU, each between 1 and `steps`.
            steps: T of the padded batch.
            device: the batch's device.

        Raises:
            ValueError: see `check_lengths`.
        """
        check_lengths(lengths, steps)
        self.batch_size, self.steps = lengths.numel(), steps
        self.is_dense = int(lengths.min()) == steps
        in_order = torch.arange(self.batch_size)
        self.lengths, self._order = (lengths, in_order) if self.is_dense else lengths.sort(descending=True, stable=True)
        self._already_sorted = self.is_dense or bool((self._order == in_order).all())
        padding = 1 - float(lengths.sum()) / (self.batch_size * steps)
        self.has_much_padding = padding >= MUCH_PADDING
        self._device = device
        self._reversal: Tensor | None = None

    def to_time_major(self, inputs: Tensor | OneHot) -> Tensor | OneHot:
        """(B, T, ...) in the caller's order -> (T, B, ...) sorted."""
        if isinstance(inputs, OneHot):
            return inputs.map(lambda ids: ids.index_select(0, self._sorted_indices).transpose(0, 1))
        return self._sort(inputs, dim=0).transpose(0, 1)

    def to_batch_major(self, outputs: Tensor) -> Tensor:
        """(T, B, ...) sorted -> (B, T, ...) in the caller's order."""
        return self._restore(outputs, dim=1).transpose(0, 1)

    def sort_rows(self, state: Tensor) -> Tensor:
        """State (..., B, H) in the caller's order -> sorted."""
        return self._sort(state, dim=-2)

    def restore_rows(self, state: Tensor) -> Tensor:
        """State (..., B, H), sorted -> in the caller's order."""
        return self._restore(state, dim=-2)

    @overload
    def reverse(self, inputs: Tensor) -> Tensor: ...
    @overload
    def reverse(self, inputs: OneHot) -> OneHot: ...
    def reverse(self, inputs: Tensor | OneHot) -> Tensor | OneHot:
        """Reverses every sequence within its length; padding stays in place. Its own inverse."""
        if isinstance(inputs, OneHot):
            return inputs.map(lambda ids: ids.reshape(-1)[self._reversed_rows()].view_as(ids))
        if self.is_dense:
            return inputs.flip(0)
        rows = inputs.reshape(-1, *inputs.shape[2:])
        return _Reorder.apply(rows, self._reversed_rows(), self._reversed_rows(), 0).view_as(inputs)

    @cached_property
    def exact(self) -> Packing:
        """Pieces without padding."""
        return self._packing(0)

    @cached_property
    def coalesced(self) -> Packing:
        """Fewer pieces with some padding, for a cell that can freeze its state."""
        return self._packing(CALL_COST)

    def _packing(self, max_padding: int) -> Packing:
        return Packing(self.lengths, self._unsorted_on_cpu, self.steps, self._device, max_padding=max_padding)

    @cached_property
    def active(self) -> list[int]:
        """Number of active sequences at each step."""
        if self.is_dense:
            return [self.batch_size] * self.steps
        return [rows for steps, rows in split_at_ends(self.lengths) for _ in range(steps)]

    def without_padding(self, inputs: Tensor | OneHot) -> Tensor | OneHot:
        """Returns the inputs (T, B, ...) with the padding set to zero, even where it is NaN."""
        if self.is_dense or isinstance(inputs, OneHot):
            return inputs
        return inputs.masked_fill(~self.mask().unsqueeze(-1), 0)

    def mask(self) -> Tensor:
        """(T, B) bool, True where a sequence is active."""
        return to_device(torch.arange(self.steps).unsqueeze(1) < self.lengths, self._device)

    def _sort(self, tensor: Tensor, dim: int) -> Tensor:
        if self._already_sorted:
            return tensor
        sorted_tensor: Tensor = _Reorder.apply(tensor, self._sorted_indices, self._unsorted_indices, dim)
        return sorted_tensor

    def _restore(self, tensor: Tensor, dim: int) -> Tensor:
        if self._already_sorted:
            return tensor
        restored: Tensor = _Reorder.apply(tensor, self._unsorted_indices, self._sorted_indices, dim)
        return restored

    @cached_property
    def _unsorted_on_cpu(self) -> Tensor:
        return self._order.argsort()

    @cached_property
    def _sorted_indices(self) -> Tensor:
        return to_device(self._order, self._device)

    @cached_property
    def _unsorted_indices(self) -> Tensor:
        return to_device(self._unsorted_on_cpu, self._device)

    def _reversed_rows(self) -> Tensor:
        """(T * B,): for each position of the flattened time-major batch, its position in the reversed sequences."""
        if self._reversal is None:
            step = torch.arange(self.steps).unsqueeze(1)
            source_step = torch.where(step < self.lengths, self.lengths - 1 - step, step)
            rows = (source_step * self.batch_size + torch.arange(self.batch_size)).reshape(-1)
            self._reversal = to_device(rows, self._device)
        return self._reversal


class _Reorder(torch.autograd.Function):
    """index_select by a permutation; its backward is a gather by the inverse instead of a slow scatter-add."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, index: Tensor, inverse: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(inverse, index)
        ctx.dim = dim
        return tensor.index_select(dim, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        inverse, index = ctx.saved_tensors
        return _Reorder.apply(grad, inverse, index, ctx.dim), None, None, None
