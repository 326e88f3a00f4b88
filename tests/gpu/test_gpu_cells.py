"""Every cell on a GPU against the same cell on the CPU, in values and gradients."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from sluice.recurrent.cells import make_cell
from sluice.recurrent.lengths import LengthPlan
from sluice.recurrent.scan import choose_backend, force_backend

BATCH, STEPS, INPUTS, UNITS = 9, 23, 12, 40
TOLERANCES = {"fp32": 2e-4, "tf32": 5e-2, "bf16": 8e-2}
KERNELS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@contextmanager
def precision(name: str, device: str) -> Iterator[None]:
    """Products in float32, in TF32 on the tensor cores, or in bfloat16 under autocast."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def stack_of(cell: str, **options: Any) -> RecurrentStack:
    torch.manual_seed(0)
    return RecurrentStack(cell=cell, input_size=INPUTS, hidden_size=UNITS, num_layers=2, **options)


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    lengths = torch.randint(1, STEPS + 1, (BATCH,))
    lengths[3] = STEPS
    return torch.randn(BATCH, STEPS, INPUTS), lengths


def run(stack: RecurrentStack, inputs: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Outputs, final state and all gradients of a loss over both, on the CPU."""
    inputs = inputs.detach().clone().requires_grad_()
    outputs, state = stack(inputs, lengths)
    loss = outputs.square().sum() + sum(part.sin().sum() for part in state)
    loss.backward()
    found = {"outputs": outputs, **state._asdict(), "d inputs": inputs.grad}
    found |= {f"d {name}": parameter.grad for name, parameter in stack.named_parameters()}
    return {name: value.detach().float().cpu() for name, value in found.items() if value is not None}


def compare(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float((found[name] - value).norm()) <= tolerance * float(value.norm().clamp_min(1.0)), name


@pytest.mark.parametrize("name", TOLERANCES)
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_cell_matches_the_cpu(device: Any, cell: str, name: str) -> None:
    here = stack_of(cell, bidirectional=True)
    there = copy.deepcopy(here).to(device.torch)
    inputs, lengths = batch()
    expected = run(here, inputs, lengths)
    with precision(name, device.torch.type):
        compare(run(there, inputs.to(device.torch), lengths), expected, TOLERANCES[name])


@pytest.mark.parametrize("backend", ["fused", "steps"])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_backends_agree(device: Any, cell: str, backend: str) -> None:
    stack = stack_of(cell, options=CellOptions(recurrent_dropout=0.0))
    inputs, lengths = batch()
    expected = run(copy.deepcopy(stack), inputs, lengths)
    if backend == "fused" and not stack.cells[0].can_fuse():  # type: ignore[operator]
        pytest.skip(f"{cell} has no fused run")
    with precision("fp32", device.torch.type), force_backend(backend):
        compare(run(stack.to(device.torch), inputs.to(device.torch), lengths), expected, TOLERANCES["fp32"])


@pytest.mark.parametrize("cell", KERNELS)
def test_torch_cells_use_cudnn_packed_kernels(device: Any, cell: str, real_gpu: None) -> None:
    own = make_cell(cell, input_size=INPUTS, hidden_size=UNITS).to(device.torch)
    inputs, lengths = batch()
    plan = LengthPlan(lengths, STEPS, device.torch)
    assert choose_backend(own, inputs.to(device.torch), own.recurrence(plan.batch_size), False) == "kernel"
    stack = RecurrentStack(cell=cell, input_size=INPUTS, hidden_size=UNITS).to(device.torch)
    theirs = KERNELS[cell](INPUTS, UNITS, batch_first=True).to(device.torch)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), stack.cells[0].state_dict().values(), strict=True)))
    packed, _ = theirs(pack_padded_sequence(inputs.to(device.torch), lengths, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    torch.testing.assert_close(stack(inputs.to(device.torch), lengths).outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", KERNELS)
def test_weights_are_contiguous_for_cudnn(device: Any, cell: str, real_gpu: None) -> None:
    stack = stack_of(cell).to(device.torch)
    first = stack.cells[0]
    blocks = {part.untyped_storage().data_ptr() for part in (first.weight_ih, first.weight_hh, first.bias_ih)}
    assert len(blocks) == 1
    inputs, lengths = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "RNN module weights are not part of single contiguous chunk of memory"
        stack(inputs.to(device.torch), lengths)


@pytest.mark.parametrize("cell", ["lstm_layernorm", "lstm_peephole", "gru_reset_before"])
def test_cuda_graph_matches_eager_execution(
    device: Any, cell: str, real_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_of(cell).to(device.torch)
    inputs, lengths = batch()
    other = torch.randn_like(inputs)
    expected = [run(copy.deepcopy(stack), given.to(device.torch), lengths) for given in (inputs, other)]
    monkeypatch.setenv("SLUICE_CUDA_GRAPHS", "1")
    for given, values in zip((inputs, other, inputs), (*expected, expected[0]), strict=True):
        stack.zero_grad()
        compare(run(stack, given.to(device.torch), lengths), values, TOLERANCES["fp32"])
