"""How sequences of different lengths run through a dense kernel without padding in the result.

A packed sequence gives the right answer but its CPU kernel trains 10 to 20 times slower than the dense one. The same
answer comes from dense calls alone: sort the batch by length, cut the time axis wherever a sequence ends, and run each
piece on the rows still alive, carrying the state over the cut.

Between padded and run, a batch is in packed rows: step after step, the longest sequence first, nothing for padding.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sluice.recurrent.onehot import OneHot


def check_lengths(lengths: Tensor, steps: int) -> None:
    """Refuses lengths that no padded batch of `steps` can have.

    Raises:
        ValueError: if a length is below 1 or above `steps`, there is none, or `lengths` is not on the CPU.
    """
    if lengths.device.type != "cpu":
        raise ValueError(f"lengths lie on {lengths.device}, they must stay on the CPU")
    if lengths.numel() == 0 or int(lengths.min()) < 1 or int(lengths.max()) > steps:
        raise ValueError(f"lengths must lie between 1 and the {steps} steps of the batch, got {lengths.tolist()}")


class Places(NamedTuple):
    """Where N packed rows lie in a padded batch of P places, and back."""

    rows: Tensor
    """(P,): the row of each place; any where there is none."""
    empty: Tensor
    """The places without a row."""
    places: Tensor
    """(N,): the place of each row."""


class LengthPlan:
    """The order, the cuts and the reversal that belong to one batch of lengths; shared by all layers and directions.

    Inside the plan tensors are time-major (T, B, ...) with the longest sequence first, but for those `as_given`, which
    are as the caller has them. `pieces` has (steps, rows alive) between two sequence ends, `alive` the rows of each
    step.
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
        self.pieces = _pieces(self.lengths)
        self.alive = [rows for steps, rows in self.pieces for _ in range(steps)]
        self.all_run_through = int(self.lengths[-1]) == steps
        self._in_order = bool((order == torch.arange(self.batch_size)).all())
        self._to_sorted = order.to(device)
        self._from_sorted = order.argsort().to(device)
        self._device = device
        self._reversal: Tensor | None = None
        self._places: dict[tuple[bool, bool], Places] = {}

    def to_time_major(self, inputs: Tensor | OneHot) -> Any:
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

    def reverse(self, inputs: Tensor | OneHot) -> Any:
        """Turns every sequence round within its own length; padding stays where it is. Its own inverse."""
        if isinstance(inputs, OneHot):
            return inputs.map(lambda ids: ids.reshape(-1)[self._reversed_rows()].view_as(ids))
        if self.all_run_through:
            return inputs.flip(0)
        rows = inputs.reshape(-1, *inputs.shape[2:])
        return _Reorder.apply(rows, self._reversed_rows(), self._reversed_rows(), 0).view_as(inputs)

    def packed(self, inputs: Tensor, *, reverse: bool = False, as_given: bool = False) -> tuple[Tensor, ...]:
        """The pieces between two sequence ends, (steps, rows alive, ...), of every sequence from its last step on.

        Args:
            inputs: (T, B, D); (B, T, D) in the caller's order if `as_given`.
            reverse: each sequence from its own end.
            as_given: see `inputs`.
        """
        there = self.places(reverse, as_given)
        rows = _Move.apply(inputs.flatten(0, 1), there.places, None, there.rows, there.empty)
        pieces = rows.split([steps * alive for steps, alive in self.pieces])
        return tuple(piece.unflatten(0, size) for piece, size in zip(pieces, self.pieces, strict=True))

    def padded(self, directions: Sequence[Sequence[Tensor]], *, as_given: bool = False) -> Tensor:
        """What runs over `packed` gave, put side by side, zero where nothing ran.

        Args:
            directions: the pieces (steps, rows alive, H) of a run, and of one over the reversed sequences as well.
            as_given: see `packed`.

        Returns:
            (T, B, H) or (T, B, 2H), (B, T, ...) if `as_given`.
        """
        if len(directions) == len(directions[0]) == 1 and self.all_run_through and not as_given:
            return directions[0][0]
        rows = torch.cat([piece.flatten(0, 1) for pieces in directions for piece in pieces])
        there = _side_by_side([self.places(bool(number), as_given) for number in range(len(directions))])
        moved = _Move.apply(rows, there.rows, there.empty, there.places, None)
        shape = (self.batch_size, self.steps) if as_given else (self.steps, self.batch_size)
        return moved.view(*shape, -1)

    def places(self, reverse: bool, as_given: bool) -> Places:
        """Where packed rows lie in (T, B), or (B, T) if `as_given`."""
        key = (reverse, as_given)
        if key not in self._places:
            self._places[key] = self._find_places(*key)
        return self._places[key]

    def _find_places(self, reverse: bool, as_given: bool) -> Places:
        step = torch.arange(self.steps).unsqueeze(1)
        inside = step < self.lengths
        own_step = self.lengths - 1 - step if reverse else step
        alive = torch.tensor([0, *self.alive])
        rows = alive.cumsum(0)[own_step.clamp(0, len(self.alive) - 1)] + torch.arange(self.batch_size)
        rows = rows.masked_fill(~inside, -1)
        if as_given:
            rows = rows[:, self._from_sorted.cpu()].t()
        flat = rows.reshape(-1)
        filled = (flat >= 0).nonzero().squeeze(1)
        places = torch.empty(len(filled), dtype=torch.int64)
        places[flat[filled]] = filled
        empty = (flat < 0).nonzero().squeeze(1)
        return Places(*(index.to(self._device) for index in (flat.clamp(min=0), empty, places)))

    def without_padding(self, inputs: Tensor | OneHot) -> Any:
        """The inputs (T, B, ...), zero beyond each length, whatever stood there, NaN too."""
        if self.all_run_through or isinstance(inputs, OneHot):
            return inputs
        return inputs.masked_fill(~self.mask().unsqueeze(-1), 0)

    def mask(self) -> Tensor:
        """(T, B) bool, True on each sequence's own steps."""
        return (torch.arange(self.steps).unsqueeze(1) < self.lengths).to(self._device)

    def _select(self, tensor: Tensor, index: Tensor, inverse: Tensor, dim: int) -> Tensor:
        return tensor if self._in_order else _Reorder.apply(tensor, index, inverse, dim)

    def _reversed_rows(self) -> Tensor:
        """(T * B,): for each place of the flattened time-major batch, the place that its reversed twin comes from."""
        if self._reversal is None:
            step = torch.arange(self.steps).unsqueeze(1)
            twin = torch.where(step < self.lengths, self.lengths - 1 - step, step)
            self._reversal = (twin * self.batch_size + torch.arange(self.batch_size)).reshape(-1).to(self._device)
        return self._reversal


def _pieces(lengths: Tensor) -> list[tuple[int, int]]:
    """(steps, rows alive) of each piece between two sequence ends; `lengths` is sorted, longest first."""
    ends, counts = lengths.unique(return_counts=True)
    starts = [0, *ends.tolist()[:-1]]
    finished = [0, *counts.cumsum(0).tolist()[:-1]]
    return [
        (end - start, len(lengths) - done) for start, end, done in zip(starts, ends.tolist(), finished, strict=True)
    ]


def _side_by_side(directions: Sequence[Places]) -> Places:
    """Of rows that lie one direction below the other, in a batch whose places have one part for each."""
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    rows = torch.stack([forward.rows, backward.rows + len(forward.places)], 1).flatten()
    empty = torch.stack([2 * forward.empty, 2 * forward.empty + 1], 1).flatten()
    return Places(rows, empty, torch.cat([2 * forward.places, 2 * backward.places + 1]))


class _Move(torch.autograd.Function):
    """Rows to other places, zero in empty ones; its backward moves them back instead of a slow scatter-add."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, index: Tensor, empty: Tensor | None, back: Tensor, back_empty: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(back, back_empty, index, empty)
        moved = rows.contiguous().index_select(0, index)
        return moved if empty is None else moved.index_fill_(0, empty, 0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _Move.apply(grad, *ctx.saved_tensors), None, None, None, None


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
