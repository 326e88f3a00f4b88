"""Timing utilities, and sluice bench lengths: Sluice against torch.nn on padded and packed batches."""

import json
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sluice.errors import UserError
from sluice.plain import Plain
from sluice.recurrent import RecurrentStack
from sluice.recurrent.malloc import keep_freed_memory

Name = TypeVar("Name")
CPU = torch.device("cpu")
TORCH_LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU}
VARIANTS = {"dense": "dense", "sluice": "Sluice", "final c": "Sluice, with final cell state", "packed": "packed"}
"""Headings of the variants: torch.nn, ignoring the lengths; Sluice, with outputs and final hidden state; the
same with the final cell state; torch.nn on packed sequences."""


class LengthSizes(NamedTuple):
    """Sizes of a batch of sequences of different lengths, and of a layer."""

    batch_size: int = 64
    shortest: int = 150
    longest: int = 200
    input_size: int = 100
    hidden_size: int = 256

    def __str__(self) -> str:
        return f"B={self.batch_size} T={self.shortest}-{self.longest} D={self.input_size} H={self.hidden_size}"


def start(device: str, *, plain_memory: bool = False) -> torch.device:
    """Returns the device of a benchmark, seeds torch, and keeps freed memory as training does.

    Args:
        device: "cpu" or "cuda".
        plain_memory: leave the C library's default allocator settings.

    Raises:
        UserError: unless `device` is cpu, or cuda on a machine with a GPU.
    """
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UserError(f"--device {device} cannot be used: it must be cpu, or cuda on a machine with a GPU")
    if not plain_memory:
        keep_freed_memory()
    torch.manual_seed(0)
    return torch.device("cuda", 0) if device == "cuda" else CPU


def describe_device(device: torch.device) -> str:
    """Returns the name of the GPU, or the number of CPU threads."""
    threads = torch.get_num_threads()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} thread{'s' * (threads > 1)}"


def synchronize(device: torch.device) -> None:
    """Waits until all queued GPU work is done; does nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(steps: dict[Name, Callable[[], None]], runs: int, device: torch.device = CPU) -> dict[Name, float]:
    """Measures the median time of each step in seconds, in interleaved rounds (A B C A B C …).

    Args:
        steps: the functions to time, by name.
        runs: number of timed rounds, after one warm-up round.
        device: device of the computation, synchronized after each step.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in steps}
    for number in range(runs + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            synchronize(device)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def bench_lengths(
    *,
    batch_size: int,
    steps: int,
    shortest: int,
    input_size: int,
    hidden_size: int,
    runs: int,
    packed: bool,
    device: str,
    plain_memory: bool,
    as_json: bool,
) -> None:
    """Times forward and backward through one layer on sequences of random lengths.

    Args:
        batch_size: B, number of sequences.
        steps: T, length of the longest sequence.
        shortest: minimum length.
        input_size: D, number of input features.
        hidden_size: H, number of units.
        runs: number of timed rounds; medians are reported.
        packed: whether to time packed sequences too.
        device: "cpu" or "cuda".
        plain_memory: use the C library's default allocator settings, without `keep_freed_memory`.
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if `shortest` is above `steps`, or the device is invalid.
    """
    where = start(device, plain_memory=plain_memory)
    if shortest > steps:
        raise UserError(f"--shortest {shortest} is above --steps {steps}")
    sizes = LengthSizes(batch_size, shortest, steps, input_size, hidden_size)
    rows = []
    for cell, bidirectional in product(TORCH_LAYERS, (False, True)):
        functions = length_steps(sizes, cell, where, bidirectional=bidirectional, packed=packed)
        rows.append({"cell": cell, "directions": 2 if bidirectional else 1, **median_seconds(functions, runs, where)})
    _report(rows, f"{sizes}, {describe_device(where)}", as_json)


def length_steps(
    sizes: LengthSizes, cell: str, device: torch.device, *, bidirectional: bool = False, packed: bool = False
) -> dict[str, Callable[[], None]]:
    """Forward and backward passes through one layer on sequences of random lengths, by the names of VARIANTS.

    Args:
        sizes: of the batch and the layer.
        cell: a name in TORCH_LAYERS.
        device: where they are run.
        bidirectional: whether the layer reads both ways.
        packed: whether packed sequences are among them.
    """
    torch.manual_seed(0)
    lengths = torch.randint(sizes.shortest, sizes.longest + 1, (sizes.batch_size,))
    lengths[0] = sizes.longest
    inputs = torch.randn(sizes.batch_size, sizes.longest, sizes.input_size, device=device, requires_grad=True)
    module, stack = _layers(cell, sizes.input_size, sizes.hidden_size, bidirectional, device)
    return _variants(module, stack, inputs, lengths, packed)


def _layers(
    cell: str, input_size: int, hidden_size: int, bidirectional: bool, device: torch.device
) -> tuple[nn.RNNBase, RecurrentStack]:
    """torch.nn's layer and a RecurrentStack of the same sizes."""
    module = TORCH_LAYERS[cell](input_size, hidden_size, batch_first=True, bidirectional=bidirectional)
    stack = RecurrentStack(cell=cell, input_size=input_size, hidden_size=hidden_size, bidirectional=bidirectional)
    return module.to(device), stack.to(device)


def _variants(
    module: nn.RNNBase, stack: RecurrentStack, inputs: Tensor, lengths: Tensor, packed: bool
) -> dict[str, Callable[[], None]]:
    def hidden_of(state: Any) -> Tensor:
        return state[0] if isinstance(state, tuple) else state

    def dense() -> None:
        outputs, state = module(inputs)
        (outputs.sum() + hidden_of(state).sum()).backward()

    def sluice() -> None:
        outputs, state = stack(inputs, lengths)
        (outputs.sum() + state.hidden.sum()).backward()

    def sluice_with_cell() -> None:
        outputs, state = stack(inputs, lengths)
        (outputs.sum() + sum(part.sum() for part in state)).backward()

    def packed_sequence() -> None:
        sequence = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, state = module(sequence)
        padded, _ = pad_packed_sequence(outputs, batch_first=True)
        (padded.sum() + hidden_of(state).sum()).backward()

    functions = {"dense": dense, "sluice": sluice}
    if "cell" in stack.state_type._fields:
        functions["final c"] = sluice_with_cell
    return functions | ({"packed": packed_sequence} if packed else {})


def _report(rows: list[Plain], title: str, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "lengths", "sizes": title, **row}))
        return
    table = Table(title=f"Training step, forward and backward: {title}", title_justify="left", box=None)
    for heading in ("cell", "directions", *VARIANTS.values()):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row["cell"], str(row["directions"]), *(_format(row, name) for name in VARIANTS))
    console = Console(soft_wrap=True)
    console.print(table)
    console.print("× is relative to dense: torch.nn on the same padded batch, ignoring the lengths.")


def _format(row: Plain, name: str) -> str:
    return f"{row[name] * 1e3:,.0f} ms {row[name] / row['dense']:.2f}×" if name in row else ""
