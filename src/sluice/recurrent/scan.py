"""Runs one cell over a batch of sequences of different lengths with the fastest suitable backend.

kernel  torch's built-in function: on CUDA over a packed sequence, on a CPU piece by piece (see lengths.py)
fused   the fused scan of fused/, which handles variable lengths and returns the state after every step
steps   a Python loop over the cell's `step` with autograd: works for any cell, the reference for the others
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

BACKENDS = ("kernel", "fused", "steps")
_forced_backends: list[str] = []
PieceOutput = TypeVar("PieceOutput")
"""Result of a run over one piece."""


class ScanOutput(NamedTuple):
    """Result of a scan."""

    outputs: Tensor
    """(T, B, H), zero beyond each length."""
    final: State
    """The state at each sequence's last step, tensors (B, H)."""
    states: State | None = None
    """The state after every step, tensors (T, B, H), zero beyond each length; None where not requested."""


@contextmanager
def force_backend(backend: str) -> Iterator[None]:
    """Context manager that makes every scan use this backend, for tests and benchmarks.

    Raises:
        ValueError: for an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: expected one of {', '.join(BACKENDS)}")
    _forced_backends.append(backend)
    try:
        yield
    finally:
        _forced_backends.pop()


def allows_fused() -> bool:
    """Returns whether no other backend than "fused" is forced."""
    return not _forced_backends or _forced_backends[-1] == "fused"


def choose_backend(cell: Cell, inputs: Tensor | OneHot, recurrent: Recurrence, every_state: bool) -> str:
    """Returns the fastest backend that supports the call, see the module docstring.

    Args:
        cell: the cell.
        inputs: features or a OneHot.
        recurrent: the recurrent product.
        every_state: whether the state after every step is needed.
    """
    if _forced_backends:
        return _forced_backends[-1]
    kernel = cell.can_use_kernel(recurrent) and not isinstance(inputs, OneHot) and not every_state
    if kernel and (cell.kernel_is_best_on_cpu or cell.weight_hh.device.type != "cpu" or not cell.can_fuse()):
        return "kernel"
    return "fused" if cell.can_fuse() else "steps"


def runs_in_pieces(cell: Cell, inputs: Tensor | OneHot, recurrent: Recurrence, every_state: bool) -> bool:
    """Returns whether `scan` runs torch's kernel piece by piece; arguments as in `choose_backend`."""
    on_cpu = cell.weight_hh.device.type == "cpu"
    return on_cpu and choose_backend(cell, inputs, recurrent, every_state) == "kernel"


def scan(
    cell: Cell,
    inputs: Tensor | OneHot,
    state: State,
    plan: LengthPlan,
    recurrent: Recurrence | None = None,
    *,
    every_state: bool = False,
) -> ScanOutput:
    """Runs `cell` over every sequence up to its length.

    Args:
        cell: the cell.
        inputs: (T, B, D) features or a OneHot of (T, B), time-major and sorted by `plan`.
        state: initial state, tensors (B, H), sorted.
        plan: the batch's lengths.
        recurrent: the recurrent product; None creates it from the cell.
        every_state: whether to return the state after every step.
    """
    recurrent = cell.recurrence(plan.batch_size) if recurrent is None else recurrent
    backend = choose_backend(cell, inputs, recurrent, every_state)
    if backend == "fused":
        projected, recurrent = _project(cell, inputs, plan, recurrent)
        return scan_fused(cell, projected, state, plan, recurrent, consume=True)
    if backend == "steps":
        return scan_steps(cell, cell.project(plan.without_padding(inputs)), state, plan, recurrent)
    assert isinstance(inputs, Tensor)
    if inputs.is_cuda:
        return scan_packed(cell, inputs, state, plan, recurrent)
    return scan_kernel(cell, inputs, state, plan, recurrent)


def _project(cell: Cell, inputs: Tensor | OneHot, plan: LengthPlan, recurrent: Recurrence) -> tuple[Tensor, Recurrence]:
    """`Cell.project_fused` of all steps (T, B, ...); on a CPU those of the padding are skipped where they are many."""
    skips = cell.projects_rows and plan.has_much_padding
    if isinstance(inputs, OneHot) or inputs.device.type != "cpu" or not skips:
        return cell.project_fused(plan.without_padding(inputs), recurrent)
    remaining = recurrent

    def project(rows: Tensor) -> Tensor:
        nonlocal remaining
        projected, remaining = cell.project_fused(rows, recurrent)
        return projected

    return plan.exact.map_rows(project, inputs), remaining


def scan_fused(
    cell: Cell, projected: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence, *, consume: bool = False
) -> ScanOutput:
    """`scan` with the fused backend.

    Args:
        cell: the cell.
        projected: gate pre-activations (T, B, G·H).
        state: initial state, tensors (B, H), sorted.
        plan: the batch's lengths.
        recurrent: the recurrent product.
        consume: whether the gates may overwrite `projected`.
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
    schedule = Schedule(plan.active, None if plan.is_dense else plan.lengths, consume)
    states, final = run_fused(cell.fused, cell.fused_options(), schedule, tensors)
    return ScanOutput(states[0], cell.state_type(*final), cell.state_type(*states))


def scan_steps(cell: Cell, projected: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> ScanOutput:
    """`scan` with a Python loop over `cell.step`; arguments as in `scan_fused`."""

    def run(piece: Tensor, state: State) -> tuple[State, State]:
        active_recurrent, states = recurrent.first_rows(piece.shape[1]), []
        for pre_activations in piece.unbind(0):
            state, _ = cell.step(pre_activations, state, active_recurrent)
            states.append(state)
        return type(state)(*(torch.stack(parts) for parts in zip(*states, strict=True))), state

    pieces, final = _run_pieces(run, plan.exact.pack(projected), state)
    states = type(state)(*(plan.exact.unpack([parts])[0] for parts in zip(*pieces, strict=True)))
    return ScanOutput(states[0], final, states)


def scan_kernel(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> ScanOutput:
    """`scan` with one dense call of torch's kernel for each piece; arguments as in `scan`."""
    outputs, (final,) = scan_in_pieces([Run(cell, state, recurrent)], inputs, plan)
    return ScanOutput(outputs, final)


class Run(NamedTuple):
    """A cell over a batch in one direction."""

    cell: Cell
    state: State
    """The initial state, tensors (B, H), sorted."""
    recurrent: Recurrence


def scan_in_pieces(
    runs: Sequence[Run], inputs: Tensor, plan: LengthPlan, *, batch_first: bool = False
) -> tuple[Tensor, list[State]]:
    """Runs a layer with dense calls of torch's kernel, one direction after the other.

    Args:
        runs: the forward run and, for two directions, the run over the reversed sequences.
        inputs: (T, B, D) sorted by `plan`; (B, T, D) in the caller's order if `batch_first`.
        plan: the batch's lengths.
        batch_first: see `inputs`.

    Returns:
        Outputs (T, B, H) or (T, B, 2H), (B, T, ...) if `batch_first`, and each run's final state, sorted.
    """
    packing = plan.coalesced if all(run.cell.freeze_bias for run in runs) else plan.exact
    outputs, final_states = [], []
    for direction, (cell, state, recurrent) in enumerate(runs):
        pieces = packing.pack(
            inputs, reverse=bool(direction), batch_first=batch_first, mark_padding=packing.has_padding
        )
        weight = cell.freezing_weight() if packing.has_padding else cell.weight_ih
        run_outputs, final = _run_pieces(partial(cell.run_kernel, recurrent=recurrent, weight=weight), pieces, state)
        outputs.append(run_outputs)
        final_states.append(final)
    padded, last = packing.unpack(outputs, batch_first=batch_first)
    finals = [
        final._replace(hidden=hidden.to(final.hidden.dtype)) for final, hidden in zip(final_states, last, strict=True)
    ]  # under autocast the outputs' dtype differs from the states'
    return padded, finals


def scan_packed(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> ScanOutput:
    """`scan` with torch's packed-sequence kernel, for CUDA, where cuDNN is fast; arguments as in `scan`."""
    packed = pack_padded_sequence(inputs, plan.lengths, enforce_sorted=True)
    outputs, final = cell.run_packed(packed.data, packed.batch_sizes, state, recurrent)
    padded, _ = pad_packed_sequence(PackedSequence(outputs, packed.batch_sizes), total_length=plan.steps)
    return ScanOutput(padded, final)


def _run_pieces(
    run: Callable[[Tensor, State], tuple[PieceOutput, State]], pieces: Sequence[Tensor], state: State
) -> tuple[list[PieceOutput], State]:
    """Runs one piece after another, dropping rows whose sequence has ended.

    Args:
        run: maps a piece and a state (rows, H) to a result and the next state.
        pieces: (steps, rows, ...), with a decreasing number of rows.
        state: initial state, tensors (B, H).

    Returns:
        The result for each piece, and the final state.
    """
    if len(pieces) == 1 and pieces[0].shape[1] == len(state.hidden):
        output, final = run(pieces[0], state)
        return [output], final
    outputs: list[PieceOutput] = []
    finished: list[State] = []
    for piece in pieces:
        state, ended = _split_finished(state, piece.shape[1])
        finished.append(ended)
        output, state = run(piece, state)
        outputs.append(output)
    return outputs, type(state)(*(cat(parts) for parts in zip(state, *reversed(finished), strict=True)))


def _split_finished(state: State, rows: int) -> tuple[State, State]:
    """Splits a state into its first `rows` rows, which are still active, and the rows that have ended."""
    halves = [tensor.split([rows, tensor.shape[0] - rows]) for tensor in state]
    active, ended = zip(*halves, strict=True)
    return type(state)(*active), type(state)(*ended)
