"""One cell over a batch of sequences of different lengths, exactly, by the fastest way that does what is asked.

kernel  torch's own function: on CUDA over a packed sequence, on a CPU piece by piece (see lengths.py)
fused   the hand-written scan of fused/, which takes lengths as they are and gives the states of every step
steps   the cell's `step` again and again under plain autograd: any cell, the reference for the others
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, cat
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from sluice.recurrent.cells import Cell, Recurrence
from sluice.recurrent.fused.run import Schedule
from sluice.recurrent.fused.scan import run_fused
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.states import State

WAYS = ("kernel", "fused", "steps")
_forced: list[str] = []
Given = TypeVar("Given")
"""What a run over one piece gives."""


class Scanned(NamedTuple):
    """What a scan returns."""

    outputs: Tensor
    """(T, B, H), zero beyond each length."""
    final: State
    """The state at each sequence's own last step, tensors (B, H)."""
    states: State | None = None
    """The state after every step, tensors (T, B, H), zero beyond each length; None where it wasn't asked for."""


@contextmanager
def forced(way: str) -> Iterator[None]:
    """Within the block every scan takes this way, for tests and measurements.

    Raises:
        ValueError: if there is no such way.
    """
    if way not in WAYS:
        raise ValueError(f"there is no way {way!r}; there are {', '.join(WAYS)}")
    _forced.append(way)
    try:
        yield
    finally:
        _forced.pop()


def choose_way(cell: Cell, inputs: Tensor | OneHot, recurrent: Recurrence, every_state: bool) -> str:
    """The fastest way that does what is asked: see the top of the module."""
    if _forced:
        return _forced[-1]
    kernel = cell.can_use_kernel(recurrent) and not isinstance(inputs, OneHot) and not every_state
    if kernel and (cell.kernel_is_best_on_cpu or cell.weight_hh.device.type != "cpu" or not cell.can_fuse()):
        return "kernel"
    return "fused" if cell.can_fuse() else "steps"


def runs_in_pieces(cell: Cell, inputs: Tensor | OneHot, recurrent: Recurrence, every_state: bool) -> bool:
    """Whether `scan` goes piece by piece through torch's own function."""
    on_cpu = cell.weight_hh.device.type == "cpu"
    return on_cpu and choose_way(cell, inputs, recurrent, every_state) == "kernel"


def scan(
    cell: Cell,
    inputs: Tensor | OneHot,
    state: State,
    plan: LengthPlan,
    recurrent: Recurrence | None = None,
    *,
    every_state: bool = False,
) -> Scanned:
    """Runs `cell` over every sequence up to its own length.

    Args:
        cell: the cell.
        inputs: (T, B, D) features or a OneHot of (T, B), time-major and sorted by `plan`.
        state: initial state, tensors (B, H), sorted.
        plan: the batch's lengths.
        recurrent: the recurrent product; None lets the cell make it.
        every_state: also return the state after every step.
    """
    recurrent = cell.recurrence(plan.batch_size) if recurrent is None else recurrent
    way = choose_way(cell, inputs, recurrent, every_state)
    if way == "fused":
        return scan_fused(cell, cell.project(plan.without_padding(inputs)), state, plan, recurrent, consume=True)
    if way == "steps":
        return scan_steps(cell, cell.project(plan.without_padding(inputs)), state, plan, recurrent)
    assert isinstance(inputs, Tensor)
    if inputs.is_cuda:
        return scan_packed(cell, inputs, state, plan, recurrent)
    return scan_kernel(cell, inputs, state, plan, recurrent)


def scan_fused(
    cell: Cell, projected: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence, *, consume: bool = False
) -> Scanned:
    """`scan` from gate pre-activations (T, B, G·H) by the cell's hand-written run.

    With `consume` the gates take the memory of `projected`, which nothing else may then need.
    """
    assert cell.fused is not None
    tensors = {
        "projected": projected,
        "weight": recurrent.weight,
        "bias": recurrent.bias,
        "mask": recurrent.mask,
        **state._asdict(),
        **cell.fused_parameters(),
    }
    schedule = Schedule(plan.alive, None if plan.all_run_through else plan.lengths, consume)
    states, final = run_fused(cell.fused, cell.fused_options(), schedule, tensors)
    return Scanned(states[0], cell.state_type(*final), cell.state_type(*states))


def scan_steps(cell: Cell, projected: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> Scanned:
    """`scan` from gate pre-activations (T, B, G·H) by one `step` after another."""

    def run(piece: Tensor, state: State) -> tuple[State, State]:
        own, states = recurrent.first(piece.shape[1]), []
        for at_step in piece.unbind(0):
            state, _ = cell.step(at_step, state, own)
            states.append(state)
        return type(state)(*(torch.stack(parts) for parts in zip(*states, strict=True))), state

    pieces, final = _by_pieces(run, plan.exact.packed(projected), state)
    states = type(state)(*(plan.exact.padded([parts])[0] for parts in zip(*pieces, strict=True)))
    return Scanned(states[0], final, states)


def scan_kernel(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> Scanned:
    """`scan` by dense calls of torch's function: one for each piece."""
    outputs, (final,) = scan_in_pieces([Run(cell, state, recurrent)], inputs, plan)
    return Scanned(outputs, final)


class Run(NamedTuple):
    """A cell over a batch in one direction."""

    cell: Cell
    state: State
    """The initial state, tensors (B, H), sorted."""
    recurrent: Recurrence


def scan_in_pieces(
    runs: Sequence[Run], inputs: Tensor, plan: LengthPlan, *, as_given: bool = False
) -> tuple[Tensor, list[State]]:
    """A layer by dense calls of torch's function, one direction after the other.

    Args:
        runs: one, or a second one over the reversed sequences.
        inputs: (T, B, D) sorted by `plan`; (B, T, D) in the caller's order if `as_given`.
        plan: the batch's lengths.
        as_given: see `inputs`.

    Returns:
        Outputs (T, B, H) or (T, B, 2H), (B, T, ...) if `as_given`, and each run's final state, sorted.
    """
    packing = plan.sparing if all(run.cell.hold for run in runs) else plan.exact
    outputs, behind = [], []
    for direction, (cell, state, recurrent) in enumerate(runs):
        pieces = packing.packed(inputs, reverse=bool(direction), as_given=as_given, mark_idle=packing.has_idle)
        weight = cell.holding_weight() if packing.has_idle else cell.weight_ih
        given, final = _by_pieces(partial(cell.run_kernel, recurrent=recurrent, weight=weight), pieces, state)
        outputs.append(given)
        behind.append(final)
    padded, last = packing.padded(outputs, as_given=as_given)
    finals = [
        final._replace(hidden=hidden.to(final.hidden.dtype)) for final, hidden in zip(behind, last, strict=True)
    ]  # under autocast outputs have another type than states
    return padded, finals


def scan_packed(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> Scanned:
    """`scan` by torch's own variable-length path; for CUDA, where cuDNN has a fast one."""
    packed = pack_padded_sequence(inputs, plan.lengths, enforce_sorted=True)
    outputs, final = cell.run_packed(packed.data, packed.batch_sizes, state, recurrent)
    padded, _ = pad_packed_sequence(PackedSequence(outputs, packed.batch_sizes), total_length=plan.steps)
    return Scanned(padded, final)


def _by_pieces(
    run: Callable[[Tensor, State], tuple[Given, State]], pieces: Sequence[Tensor], state: State
) -> tuple[list[Given], State]:
    """Runs piece after piece, parting from the rows that go no further.

    Args:
        run: a piece and a state (rows, H) -> whatever, and the next state.
        pieces: (steps, rows, ...), ever fewer rows.
        state: initial state, tensors (B, H).

    Returns:
        What the runs gave, and the final state.
    """
    given: list[Given] = []
    finished: list[State] = []
    for piece in pieces:
        state, ended = _part(state, piece.shape[1])
        finished.append(ended)
        of_piece, state = run(piece, state)
        given.append(of_piece)
    return given, type(state)(*(cat(parts) for parts in zip(state, *reversed(finished), strict=True)))


def _part(state: State, rows: int) -> tuple[State, State]:
    """Parts the rows that go on from those whose sequence has ended."""
    halves = [tensor.split([rows, tensor.shape[0] - rows]) for tensor in state]
    going, ended = zip(*halves, strict=True)
    return type(state)(*going), type(state)(*ended)
