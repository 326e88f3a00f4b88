"""Shared helpers: random weights, a reference scan, and comparisons of values and gradients."""

from collections.abc import Iterable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.recurrent import CELLS, Cell, CellOptions, OneHot, Recurrence, RecurrentStack, State, make_cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.scan import ScanOutput, scan_fused, scan_steps

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other

ALL_CELLS = sorted(CELLS)
TORCH_CELLS = ("gru", "lstm", "rnn", "rnn_relu")
D, H = 3, 4
"""Different input and hidden sizes, to detect transposed or confused dimensions."""

raw_lengths = st.one_of(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.lists(st.sampled_from([2, 5]), min_size=3, max_size=5),
    st.builds(lambda length, count: [length] * count, st.integers(1, 5), st.integers(1, 4)),
)
"""Lengths of a batch, with ties, all equal, all ones."""


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Fills every parameter, biases too: zero biases would hide a bias that is never added."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.5)


def numbers(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def make_stack(cell: str, *, dtype: torch.dtype = torch.float64, **options: object) -> RecurrentStack:
    sizes = {"input_size": D, "hidden_size": H, **options}
    stack = RecurrentStack(cell=cell, **sizes).to(dtype)  # type: ignore[arg-type]
    randomise(stack)
    return stack


def random_state(stack: RecurrentStack, batch_size: int, dtype: torch.dtype = torch.float64) -> State:
    """An initial state that requires gradients."""
    shape = (len(stack.cells), batch_size, stack.hidden_size)
    fields = range(len(stack.state_type._fields))
    return stack.state_type(*(numbers(*shape, seed=50 + k, dtype=dtype).requires_grad_() for k in fields))


def random_cell(
    name: str, *, dtype: torch.dtype = torch.float64, hidden_size: int = H, one_hot: bool = False, **options: object
) -> Cell:
    chosen = CellOptions(**options)  # type: ignore[arg-type]
    cell = make_cell(name, input_size=D, hidden_size=hidden_size, one_hot=one_hot, options=chosen).to(dtype)
    randomise(cell)
    return cell


def cell_state(cell: Cell, batch_size: int) -> State:
    """An initial state of a single cell that requires gradients."""
    shape, dtype = (batch_size, cell.hidden_size), cell.weight_hh.dtype
    fields = range(len(cell.state_type._fields))
    return cell.state_type(*(numbers(*shape, seed=20 + k, dtype=dtype).requires_grad_() for k in fields))


def make_plan(lengths: Sequence[int], surplus: int = 0) -> LengthPlan:
    return LengthPlan(torch.tensor(lengths), max(lengths) + surplus, torch.device("cpu"))


def unroll(cell: Cell, projected: Tensor, state: State, plan: LengthPlan, recurrent: Recurrence) -> ScanOutput:
    """The reference for every backend: each sequence alone, one `step` at a time."""
    finals, states = [], []
    for row, length in enumerate(plan.lengths.tolist()):
        own = recurrent if recurrent.mask is None else recurrent._replace(mask=recurrent.mask[row : row + 1])
        every = [type(state)(*(tensor[row : row + 1] for tensor in state))]
        for step in range(length):
            every.append(cell.step(projected[step, row : row + 1], every[-1], own)[0])
        finals.append(every[-1])
        joined = [torch.cat(parts) for parts in zip(*every[1:], strict=True)]
        states.append([F.pad(tensor, (0, 0, 0, plan.steps - length)) for tensor in joined])
    final = cell.state_type(*(torch.cat(parts) for parts in zip(*finals, strict=True)))
    stacked = cell.state_type(*(torch.stack(parts, 1) for parts in zip(*states, strict=True)))
    return ScanOutput(stacked.hidden, final, stacked)


def everything(scanned: ScanOutput) -> list[Tensor]:
    """Outputs, final state and, if any, the states of every step."""
    return [scanned.outputs, *scanned.final, *(scanned.states or ())]


def gradients(results: Sequence[Tensor], leaves: Iterable[Tensor]) -> list[Tensor]:
    """Gradients of a loss that weights every element of every result differently."""
    loss = sum(
        (result * numbers(*result.shape, seed=90 + k, dtype=result.dtype)).sum() for k, result in enumerate(results)
    )
    return list(torch.autograd.grad(loss, list(leaves), materialize_grads=True))


def assert_all_close(ours: Iterable[Tensor], theirs: Iterable[Tensor], tolerance: float = 1e-10) -> None:
    for position, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(
            own, other, atol=tolerance, rtol=tolerance, msg=lambda text, at=position: f"tensor {at}: {text}"
        )


def own_parameters(cell: Cell) -> list[Tensor]:
    """The parameters that a scan from pre-activations uses."""
    return [parameter for name, parameter in cell.named_parameters() if not name.endswith("_ih")]


def scan_inputs(cell: Cell, plan: LengthPlan) -> tuple[Tensor, State, list[Tensor]]:
    """Pre-activations, initial state and all tensors that require gradients."""
    width, dtype = len(cell.gates) * cell.hidden_size, cell.weight_hh.dtype
    projected = numbers(plan.steps, plan.batch_size, width, dtype=dtype).requires_grad_()
    state = cell_state(cell, plan.batch_size)
    return projected, state, [projected, *state, *own_parameters(cell)]


def assert_fused_equals_steps(cell: Cell, plan: LengthPlan, tolerance: float = 1e-10, seed: int = 0) -> None:
    """Compares values and gradients, with the same dropout for both."""
    projected, state, leaves = scan_inputs(cell, plan)
    torch.manual_seed(seed)
    ours = everything(scan_fused(cell, projected, state, plan, cell.recurrence(plan.batch_size)))
    torch.manual_seed(seed)
    theirs = everything(scan_steps(cell, projected, state, plan, cell.recurrence(plan.batch_size)))
    assert [tensor.dtype for tensor in ours] == [tensor.dtype for tensor in theirs]
    assert_all_close(ours, theirs, tolerance)
    assert_all_close(gradients(ours, leaves), gradients(theirs, leaves), tolerance)


def one_hot_batch(batch_size: int, steps: int, size: int, *, scaled: bool = False) -> OneHot:
    draw = torch.Generator().manual_seed(7)
    ids = torch.randint(size, (batch_size, steps), generator=draw)
    scale = torch.randint(2, (batch_size, steps), generator=draw).double() * 1.25 if scaled else None
    return OneHot(ids, size, scale)
