"""Converts padded batches to pieces that a dense kernel can run, and back.

Packed rows are ordered by piece, then by step, then by sequence, longest first.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from sluice.recurrent.devices import to_device


class PackedIndices(NamedTuple):
    """Index maps between N packed rows and the P = T · B positions of a padded batch."""

    rows: Tensor
    """(P,): the row of each position, arbitrary where it has none."""
    empty: Tensor
    """The positions without a row."""
    positions: Tensor
    """(N,): the position of each row, arbitrary where it has none."""
    padding: Tensor
    """The rows without a position."""


class Packing:
    """A batch split into pieces, each (steps, rows) of one dense call.

    The batch is split where sequences end. Adjacent pieces are coalesced where a few padding steps cost less than a
    further call; with `max_padding` = 0 no piece has padding.
    """

    def __init__(
        self, lengths: Tensor, unsorted_indices: Tensor, steps: int, device: torch.device, *, max_padding: int
    ) -> None:
        """
        Args:
            lengths: (B,) int64 on the CPU, longest first.
            unsorted_indices: (B,): the index in `lengths` of each of the caller's sequences.
            steps: T of the padded batch.
            device: the batch's device.
            max_padding: padding steps that a piece may have.
        """
        self.lengths, self.steps, self._unsorted_indices, self._device = lengths, steps, unsorted_indices, device
        self.batch_size = len(lengths)
        self.is_dense = int(lengths[-1]) == steps
        self.pieces = [(steps, self.batch_size)] if self.is_dense else _coalesce(split_at_ends(lengths), max_padding)
        self.rows = sum(piece_steps * rows for piece_steps, rows in self.pieces)
        self.has_padding = not self.is_dense and self.rows > int(lengths.sum())
        self._indices: dict[tuple[bool, bool], PackedIndices] = {}

    @cached_property
    def _starts(self) -> Tensor:
        """Packed rows before each step."""
        counts = torch.tensor(self.pieces)
        rows_by_step = counts[:, 1].repeat_interleave(counts[:, 0])
        return rows_by_step.cumsum(0) - rows_by_step

    @cached_property
    def _last(self) -> Tensor:
        """(B,): the packed row of each sequence's last step."""
        return self._starts[self.lengths - 1] + torch.arange(self.batch_size)

    def pack(
        self, inputs: Tensor, *, reverse: bool = False, batch_first: bool = False, mark_padding: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the pieces (steps, rows, ...), zero in the padding.

        Args:
            inputs: (T, B, D), longest sequence first; (B, T, D) in the caller's order if `batch_first`.
            reverse: whether to reverse each sequence within its length.
            batch_first: see `inputs`.
            mark_padding: whether to append an input that is 1 in the padding, else 0.
        """
        if self.is_dense:
            whole = inputs.transpose(0, 1) if batch_first else inputs
            return (whole.flip(0) if reverse else whole,)
        indices = self.indices(reverse, batch_first)
        rows = _Move.apply(inputs.flatten(0, 1), indices.positions, indices.padding, indices.rows, indices.empty)
        if mark_padding:
            marks = rows.new_zeros(len(rows), 1).index_fill_(0, indices.padding, 1)
            rows = torch.cat([rows, marks], 1)
        pieces = rows.split([steps * rows for steps, rows in self.pieces])
        return tuple(piece.unflatten(0, size) for piece, size in zip(pieces, self.pieces, strict=True))

    def unpack(
        self, directions: Sequence[Sequence[Tensor]], *, batch_first: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Concatenates the outputs of runs over packed pieces into a padded batch.

        Args:
            directions: output pieces (steps, rows, H) of the forward run and, if any, of the reversed run.
            batch_first: see `pack`.

        Returns:
            (T, B, H) or (T, B, 2H), (B, T, ...) if `batch_first`, zero in the padding; and for each direction the
            output at each sequence's last step, (B, H), longest sequence first.
        """
        if self.is_dense:
            wholes = [whole for (whole,) in directions]
            padded = wholes[0] if len(wholes) == 1 else torch.cat([wholes[0], wholes[1].flip(0)], -1)
            return padded.transpose(0, 1) if batch_first else padded, [whole[-1] for whole in wholes]
        indices = _join_directions([self.indices(bool(number), batch_first) for number in range(len(directions))])
        ends_at = torch.cat([self._last + number * self.rows for number in range(len(directions))])
        last = to_device(ends_at, self._device)
        rows = torch.cat([piece.flatten(0, 1) for pieces in directions for piece in pieces])
        padded, ends = _Pad.apply(rows, indices.rows, indices.empty, indices.positions, indices.padding, last)
        shape = (self.batch_size, self.steps) if batch_first else (self.steps, self.batch_size)
        return padded.view(*shape, -1), list(ends.split(self.batch_size))

    def map_rows(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Applies a function of rows, (N, D) -> (N, E), to the rows of a batch (T, B, D) without its padding.

        Args:
            function: the function; its result for a row depends on that row only.
            inputs: (T, B, D), longest sequence first.

        Returns:
            (T, B, E), zero in the padding.
        """
        rows, empty, positions, padding = self.indices(reverse=False, batch_first=False)
        packed = function(_Move.apply(inputs.flatten(0, 1), positions, padding, rows, empty))
        return _Move.apply(packed, rows, empty, positions, padding).unflatten(0, inputs.shape[:2])

    def indices(self, reverse: bool, batch_first: bool) -> PackedIndices:
        """Returns the index maps for a batch (T, B), or (B, T) if `batch_first`."""
        key = (reverse, batch_first)
        if key not in self._indices:
            self._indices[key] = self._build_indices(*key)
        return self._indices[key]

    def _build_indices(self, reverse: bool, batch_first: bool) -> PackedIndices:
        step = torch.arange(self.steps).unsqueeze(1)
        source_step = self.lengths - 1 - step if reverse else step
        rows = self._starts[source_step.clamp(0, len(self._starts) - 1)] + torch.arange(self.batch_size)
        rows = rows.masked_fill(step >= self.lengths, -1)
        if batch_first:
            rows = rows[:, self._unsorted_indices].t()
        rows = rows.flatten()
        filled = (rows >= 0).nonzero().squeeze(1)
        positions = torch.full((self.rows,), -1)
        positions[rows[filled]] = filled
        found = (rows.clamp(min=0), _below_zero(rows), positions.clamp(min=0), _below_zero(positions))
        return PackedIndices(*(to_device(index, self._device) for index in found))


def _below_zero(numbers: Tensor) -> Tensor:
    return (numbers < 0).nonzero().squeeze(1)


def split_at_ends(lengths: Tensor) -> list[tuple[int, int]]:
    """Returns (steps, rows) of each piece between two sequence ends; `lengths` is sorted, longest first."""
    ends, counts = lengths.unique(return_counts=True)
    starts = [0, *ends.tolist()[:-1]]
    finished = [0, *counts.cumsum(0).tolist()[:-1]]
    return [
        (end - start, len(lengths) - done) for start, end, done in zip(starts, ends.tolist(), finished, strict=True)
    ]


def _coalesce(pieces: list[tuple[int, int]], max_padding: int) -> list[tuple[int, int]]:
    """Merges adjacent pieces greedily while a merged piece has at most `max_padding` padding steps."""
    coalesced = [pieces[0]]
    padding = 0
    for steps, rows in pieces[1:]:
        steps_so_far, rows_so_far = coalesced[-1]
        padding += (rows_so_far - rows) * steps
        if padding > max_padding:
            coalesced.append((steps, rows))
            padding = 0
        else:
            coalesced[-1] = (steps_so_far + steps, rows_so_far)
    return coalesced


def _join_directions(directions: Sequence[PackedIndices]) -> PackedIndices:
    """Combines the index maps of two directions whose outputs are concatenated along the features."""
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    count = len(forward.positions)
    return PackedIndices(
        torch.stack([forward.rows, backward.rows + count], 1).flatten(),
        torch.cat([2 * forward.empty, 2 * backward.empty + 1]),
        torch.cat([2 * forward.positions, 2 * backward.positions + 1]),
        torch.cat([forward.padding, backward.padding + count]),
    )


class _Move(torch.autograd.Function):
    """Moves rows to other positions, zero in empty ones; the backward is a gather instead of a slow scatter-add."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, rows: Tensor, index: Tensor, empty: Tensor, back: Tensor, back_empty: Tensor
    ) -> Tensor:
        ctx.save_for_backward(back, back_empty, index, empty)
        return rows.contiguous().index_select(0, index).index_fill_(0, empty, 0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _Move.apply(grad, *ctx.saved_tensors), None, None, None, None


class _Pad(torch.autograd.Function):
    """`_Move` that also returns selected rows."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, index: Tensor, empty: Tensor, back: Tensor, back_empty: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(back, back_empty, index, empty, chosen)
        ctx.set_materialize_grads(False)
        ctx.shape = rows.shape
        return rows.index_select(0, index).index_fill_(0, empty, 0), rows.index_select(0, chosen)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_chosen: Tensor | None) -> tuple[Tensor | None, ...]:
        *back, chosen = ctx.saved_tensors
        rows: Tensor | None = None if grad is None else _Move.apply(grad, *back)
        if grad_chosen is not None:
            rows = grad_chosen.new_zeros(ctx.shape) if rows is None else rows
            rows.index_add_(0, chosen, grad_chosen)
        return rows, None, None, None, None, None
