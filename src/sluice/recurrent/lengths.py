"""How sequences of different lengths run through a dense kernel without padding in the result.

A packed sequence gives the right answer but its CPU kernel trains 10 to 20 times slower than the dense one. The same
answer comes from a few dense calls: sort the batch by length, cut the time axis where sequences end, run each piece on
the rows still alive, carrying the state over the cut. Where a cut isn't worth a call, a sequence that has ended idles
on, its state held (see `Cell.hold`). The pieces, there and back: packing.py.
"""

from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from sluice.recurrent.devices import to_device
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.packing import Packing, cut

CUT = 100
"""Steps of idle sequences that cost an LSTM's kernel as much as one more call; measured on a CPU."""


def check_lengths(lengths: Tensor, steps: int) -> None:
    """Refuses lengths that no padded batch of `steps` can have.

    Raises:
        ValueError: if a length is below 1 or above `steps`, there is none, or `lengths` is not on the CPU.
    """
    if lengths.device.type != "cpu":
        raise ValueError(f"lengths lie on {lengths.device}, they must stay on the CPU")
    if lengths.numel() == 0 or int(lengths.min()) < 1 or int(lengths.max()) > steps:
        raise ValueError(f"lengths must lie between 1 and the {steps} steps of the batch, got {lengths.tolist()}")


class LengthPlan:
    """The order, the cuts and the reversal that belong to one batch of lengths; shared by all layers and directions.

    Inside the plan tensors are time-major (T, B, ...) with the longest sequence first, but for those that a packing
    takes as the caller has them.
    """

    def __init__(self, lengths: Tensor, steps: int, device: torch.device) -> None:
        """
        Args:
            lengths: (B,) int64 on the CPU, each between 1 and `steps`.
            steps: T of the padded batch.
            device: where the batch lies.

        Raises:
            ValueError: see `check_lengths`.
        """
        check_lengths(lengths, steps)
        self.batch_size, self.steps = lengths.numel(), steps
        self.lengths, order = lengths.sort(descending=True, stable=True)
        self.all_run_through = int(self.lengths[-1]) == steps
        self._in_order = bool((order == torch.arange(self.batch_size)).all())
        self._to_sorted = to_device(order, device)
        self._back = order.argsort()
        self._from_sorted = to_device(self._back, device)
        self._device = device
        self._reversal: Tensor | None = None

    def to_time_major(self, inputs: Tensor | OneHot) -> Tensor | OneHot:
        """(B, T, ...) in the caller's order -> (T, B, ...) sorted."""
        if isinstance(inputs, OneHot):
            return inputs.map(lambda ids: ids.index_select(0, self._to_sorted).transpose(0, 1))
        return self._select(inputs, self._to_sorted, self._from_sorted, dim=0).transpose(0, 1)

    def to_batch_major(self, outputs: Tensor) -> Tensor:
        """(T, B, ...) sorted -> (B, T, ...) in the caller's order."""
        return self._select(outputs, self._from_sorted, self._to_sorted, dim=1).transpose(0, 1)

    def sort_rows(self, state: Tensor) -> Tensor:
        """A state (..., B, H) in the caller's order -> the same, sorted."""
        return self._select(state, self._to_sorted, self._from_sorted, dim=-2)

    def restore_rows(self, state: Tensor) -> Tensor:
        """A state (..., B, H), sorted -> the same in the caller's order."""
        return self._select(state, self._from_sorted, self._to_sorted, dim=-2)

    @overload
    def reverse(self, inputs: Tensor) -> Tensor: ...
    @overload
    def reverse(self, inputs: OneHot) -> OneHot: ...
    def reverse(self, inputs: Tensor | OneHot) -> Tensor | OneHot:
        """Turns every sequence round within its own length; padding stays where it is. Its own inverse."""
        if isinstance(inputs, OneHot):
            return inputs.map(lambda ids: ids.reshape(-1)[self._reversed_rows()].view_as(ids))
        if self.all_run_through:
            return inputs.flip(0)
        rows = inputs.reshape(-1, *inputs.shape[2:])
        return _Reorder.apply(rows, self._reversed_rows(), self._reversed_rows(), 0).view_as(inputs)

    @cached_property
    def exact(self) -> Packing:
        """Pieces in which no sequence is ever idle."""
        return self._packing(0)

    @cached_property
    def sparing(self) -> Packing:
        """Fewer pieces, for a cell that can hold its state while a sequence is idle."""
        return self._packing(CUT)

    def _packing(self, spare: int) -> Packing:
        return Packing(self.lengths, self._back, self.steps, self._device, spare=spare)

    @cached_property
    def alive(self) -> list[int]:
        """How many sequences reach each step."""
        return [rows for steps, rows in cut(self.lengths) for _ in range(steps)]

    def without_padding(self, inputs: Tensor | OneHot) -> Tensor | OneHot:
        """The inputs (T, B, ...), zero beyond each length, whatever stood there, NaN too."""
        if self.all_run_through or isinstance(inputs, OneHot):
            return inputs
        return inputs.masked_fill(~self.mask().unsqueeze(-1), 0)

    def mask(self) -> Tensor:
        """(T, B) bool, True on each sequence's own steps."""
        return to_device(torch.arange(self.steps).unsqueeze(1) < self.lengths, self._device)

    def _select(self, tensor: Tensor, index: Tensor, inverse: Tensor, dim: int) -> Tensor:
        return tensor if self._in_order else _Reorder.apply(tensor, index, inverse, dim)

    def _reversed_rows(self) -> Tensor:
        """(T * B,): for each place of the flattened time-major batch, the place that its reversed twin comes from."""
        if self._reversal is None:
            step = torch.arange(self.steps).unsqueeze(1)
            twin = torch.where(step < self.lengths, self.lengths - 1 - step, step)
            rows = (twin * self.batch_size + torch.arange(self.batch_size)).reshape(-1)
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
