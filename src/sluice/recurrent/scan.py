"""One cell over a batch of sequences of different lengths, exactly, at the dense kernel's price."""

from collections.abc import Callable

from torch import Tensor, cat
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from sluice.recurrent.cells import Cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.onehot import OneHot
from sluice.recurrent.states import State


def scan(cell: Cell, inputs: Tensor | OneHot, state: State, plan: LengthPlan) -> tuple[Tensor, State]:
    """Runs `cell` over every sequence up to its own length.

    Args:
        cell: the cell.
        inputs: (T, B, D) features or a OneHot of (T, B), time-major and sorted by `plan`.
        state: initial state, tensors (B, H), sorted.
        plan: the batch's lengths.

    Returns:
        Outputs (T, B, H), zero beyond each length, and the state at each sequence's own last step.
    """
    if not isinstance(inputs, OneHot) and inputs.is_cuda and cell.kernel is not None:
        return scan_packed(cell, inputs, state, plan)
    return scan_pieces(cell, inputs, state, plan)


def scan_pieces(cell: Cell, inputs: Tensor | OneHot, state: State, plan: LengthPlan) -> tuple[Tensor, State]:
    """`scan` by dense calls: one for each piece between two sequence ends, on the rows still alive."""
    run: Callable[[Tensor, State], tuple[Tensor, State]] = cell.scan
    if isinstance(inputs, OneHot):
        inputs, run = cell.project(inputs), cell.scan_projected
    outputs: list[Tensor] = []
    finished: list[State] = []
    rest = plan.steps - int(plan.lengths[0])
    for (_, rows), piece in zip(plan.pieces, inputs.split([steps for steps, _ in plan.pieces] + [rest]), strict=False):
        state, ended = _part(state, rows)
        finished.append(ended)
        output, state = run(piece[:, :rows], state)
        outputs.append(F.pad(output, (0, 0, 0, plan.batch_size - rows)))
    final = type(state)(*(cat(parts) for parts in zip(state, *reversed(finished), strict=True)))
    joined = cat(outputs) if len(outputs) > 1 else outputs[0]
    return F.pad(joined, (0, 0, 0, 0, 0, rest)) if rest else joined, final


def scan_packed(cell: Cell, inputs: Tensor, state: State, plan: LengthPlan) -> tuple[Tensor, State]:
    """`scan` by the kernel's own variable-length path; for CUDA, where cuDNN has a fast one."""
    packed = pack_padded_sequence(inputs, plan.lengths, enforce_sorted=True)
    outputs, final = cell.scan_packed(packed.data, packed.batch_sizes, state)
    padded, _ = pad_packed_sequence(PackedSequence(outputs, packed.batch_sizes), total_length=plan.steps)
    return padded, final


def _part(state: State, rows: int) -> tuple[State, State]:
    """Parts the rows that go on from those whose sequence has ended."""
    halves = [tensor.split([rows, tensor.shape[0] - rows]) for tensor in state]
    going, ended = zip(*halves, strict=True)
    return type(state)(*going), type(state)(*ended)
