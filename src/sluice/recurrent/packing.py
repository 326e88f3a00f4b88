"""Padded batches to pieces that a dense kernel can run, and back.

In between, a batch is in packed rows: piece after piece, in each piece step after step, at each step the sequences that
run in it, the longest first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from sluice.recurrent.devices import to_device


class Places(NamedTuple):
    """Where N packed rows lie in a padded batch of P places, and back."""

    rows: Tensor
    """(P,): the row of each place, any where there is none."""
    empty: Tensor
    """The places without a row."""
    places: Tensor
    """(N,): the place of each row, any where there is none."""
    idle: Tensor
    """The rows without a place."""


class Packing:
    """A batch of lengths cut into pieces, each (steps, rows) of one dense call.

    Every sequence's end cuts, but where running on to a later cut costs less than one: such a sequence is idle from its
    end to the cut. With `spare` = 0 nothing is ever idle.
    """

    def __init__(self, lengths: Tensor, from_sorted: Tensor, steps: int, device: torch.device, *, spare: int) -> None:
        """
        Args:
            lengths: (B,) int64 on the CPU, longest first.
            from_sorted: (B,): the place in `lengths` of each of the caller's sequences.
            steps: T of the padded batch.
            device: where the batch lies.
            spare: steps of idle sequences that one cut is worth.
        """
        self.lengths, self.steps, self._from_sorted, self._device = lengths, steps, from_sorted, device
        self.batch_size = len(lengths)
        self.pieces = _joined(cut(lengths), spare)
        self.runs_through = len(self.pieces) == 1 and int(lengths[-1]) == steps
        counts = torch.tensor(self.pieces)
        rows_by_step = counts[:, 1].repeat_interleave(counts[:, 0])
        self.rows = int(rows_by_step.sum())
        self._starts = rows_by_step.cumsum(0) - rows_by_step
        self.has_idle = self.rows > int(lengths.sum())
        self._last = self._starts[lengths - 1] + torch.arange(self.batch_size)
        self._places: dict[tuple[bool, bool], Places] = {}

    def packed(
        self, inputs: Tensor, *, reverse: bool = False, as_given: bool = False, mark_idle: bool = False
    ) -> tuple[Tensor, ...]:
        """The pieces (steps, rows, ...), zero where a sequence is idle.

        Args:
            inputs: (T, B, D), longest sequence first; (B, T, D) in the caller's order if `as_given`.
            reverse: each sequence from its own end.
            as_given: see `inputs`.
            mark_idle: a further input is 1 where a sequence is idle, else 0.
        """
        if self.runs_through:
            whole = inputs.transpose(0, 1) if as_given else inputs
            return (whole.flip(0) if reverse else whole,)
        there = self.places(reverse, as_given)
        rows = _Move.apply(inputs.flatten(0, 1), there.places, there.idle, there.rows, there.empty)
        if mark_idle:
            marks = rows.new_zeros(len(rows), 1).index_fill_(0, there.idle, 1)
            rows = torch.cat([rows, marks], 1)
        pieces = rows.split([steps * rows for steps, rows in self.pieces])
        return tuple(piece.unflatten(0, size) for piece, size in zip(pieces, self.pieces, strict=True))

    def padded(self, directions: Sequence[Sequence[Tensor]], *, as_given: bool = False) -> tuple[Tensor, list[Tensor]]:
        """What runs over `packed` gave, put side by side, zero where nothing ran.

        Args:
            directions: the pieces (steps, rows, H) of a run, and of one over the reversed sequences as well.
            as_given: see `packed`.

        Returns:
            (T, B, H) or (T, B, 2H), (B, T, ...) if `as_given`; and of each direction what was given at each sequence's
            own last step, (B, H), longest sequence first.
        """
        if self.runs_through:
            wholes = [whole for (whole,) in directions]
            padded = wholes[0] if len(wholes) == 1 else torch.cat([wholes[0], wholes[1].flip(0)], -1)
            return padded.transpose(0, 1) if as_given else padded, [whole[-1] for whole in wholes]
        there = _side_by_side([self.places(bool(number), as_given) for number in range(len(directions))])
        ends_at = torch.cat([self._last + number * self.rows for number in range(len(directions))])
        last = to_device(ends_at, self._device)
        rows = torch.cat([piece.flatten(0, 1) for pieces in directions for piece in pieces])
        padded, ends = _Pad.apply(rows, there.rows, there.empty, there.places, there.idle, last)
        shape = (self.batch_size, self.steps) if as_given else (self.steps, self.batch_size)
        return padded.view(*shape, -1), list(ends.split(self.batch_size))

    def places(self, reverse: bool, as_given: bool) -> Places:
        """Where packed rows lie in (T, B), or (B, T) if `as_given`."""
        key = (reverse, as_given)
        if key not in self._places:
            self._places[key] = self._find_places(*key)
        return self._places[key]

    def _find_places(self, reverse: bool, as_given: bool) -> Places:
        step = torch.arange(self.steps).unsqueeze(1)
        own_step = self.lengths - 1 - step if reverse else step
        rows = self._starts[own_step.clamp(0, len(self._starts) - 1)] + torch.arange(self.batch_size)
        rows = rows.masked_fill(step >= self.lengths, -1)
        if as_given:
            rows = rows[:, self._from_sorted].t()
        rows = rows.flatten()
        filled = (rows >= 0).nonzero().squeeze(1)
        places = torch.full((self.rows,), -1)
        places[rows[filled]] = filled
        found = (rows.clamp(min=0), _below_zero(rows), places.clamp(min=0), _below_zero(places))
        return Places(*(to_device(index, self._device) for index in found))


def _below_zero(numbers: Tensor) -> Tensor:
    return (numbers < 0).nonzero().squeeze(1)


def cut(lengths: Tensor) -> list[tuple[int, int]]:
    """(steps, rows) of each piece between two sequence ends; `lengths` is sorted, longest first."""
    ends, counts = lengths.unique(return_counts=True)
    starts = [0, *ends.tolist()[:-1]]
    finished = [0, *counts.cumsum(0).tolist()[:-1]]
    return [
        (end - start, len(lengths) - done) for start, end, done in zip(starts, ends.tolist(), finished, strict=True)
    ]


def _joined(pieces: list[tuple[int, int]], spare: int) -> list[tuple[int, int]]:
    """The pieces, put together greedily as long as their sequences are idle for no more than `spare` steps in all."""
    joined = [pieces[0]]
    idle = 0
    for steps, rows in pieces[1:]:
        steps_so_far, rows_so_far = joined[-1]
        idle += (rows_so_far - rows) * steps
        if idle > spare:
            joined.append((steps, rows))
            idle = 0
        else:
            joined[-1] = (steps_so_far + steps, rows_so_far)
    return joined


def _side_by_side(directions: Sequence[Places]) -> Places:
    """Of rows that lie one direction below the other, in a batch whose places have one part for each."""
    if len(directions) == 1:
        return directions[0]
    forward, backward = directions
    count = len(forward.places)
    return Places(
        torch.stack([forward.rows, backward.rows + count], 1).flatten(),
        torch.cat([2 * forward.empty, 2 * backward.empty + 1]),
        torch.cat([2 * forward.places, 2 * backward.places + 1]),
        torch.cat([forward.idle, backward.idle + count]),
    )


class _Move(torch.autograd.Function):
    """Rows to other places, zero in empty ones; its backward moves them back instead of a slow scatter-add."""

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
    """_Move, and some of the rows once more."""

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
