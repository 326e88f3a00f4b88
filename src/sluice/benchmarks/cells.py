"""sluice bench cells: training step and memory of every cell, compared with nn.LSTM and with a Python loop."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from sluice.benchmarks.timing import describe_device, median_seconds, start
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.recurrent import CELLS, RecurrentStack
from sluice.recurrent.fused.native import kernels
from sluice.recurrent.scan import force_backend

KERNELS: dict[str, Callable[..., nn.Module]] = {"nn.LSTM": nn.LSTM, "nn.GRU": nn.GRU}
"""torch.nn's layers in the table."""
VARIANTS = ("default", "fused", "fused, no C", "loop")
"""The default backend; the fused scan; the fused scan without the C kernels; `Cell.step` in a Python loop."""


class Size(NamedTuple):
    """Sizes of a batch and a layer."""

    batch_size: int
    steps: int
    input_size: int
    hidden_size: int

    def __str__(self) -> str:
        return f"B={self.batch_size} T={self.steps} D={self.input_size} H={self.hidden_size}"


SIZES = ("64,200,128,256", "20,35,200,200", "32,70,400,1150")
"""Sizes of a classifier, a small and a large language model."""
WIDTH = 108
"""Minimum width of the table in characters, also on narrower terminals."""


MAX_SIZE = 10**9
"""Largest size; torch's own limit is reported without naming the option."""


def parse_size(text: str) -> Size:
    """Parses a size such as "64,200,128,256".

    Raises:
        UserError: unless `text` has four positive integers of at most MAX_SIZE.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and 0 < int(part) <= MAX_SIZE for part in parts):
        raise UserError(
            f"--size {text} cannot be used: it must be batch,steps,inputs,units, for example 64,200,128,256"
        )
    return Size(*(int(part) for part in parts))


def bench_cells(
    *, sizes: list[str], cells: list[str], runs: int, device: str, plain_memory: bool, as_json: bool
) -> None:
    """Measures time and peak memory of forward and backward through one layer, on sequences of equal length.

    Args:
        sizes: see `parse_size`; empty for SIZES.
        cells: names of registered cells; empty for all.
        runs: number of timed rounds; medians are reported.
        device: "cpu" or "cuda".
        plain_memory: use the C library's default allocator settings, without `keep_freed_memory`.
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if a size, a cell or the device is invalid.
    """
    unknown = [cell for cell in cells if cell not in CELLS]
    if unknown:
        raise UserError(f"there is no cell {unknown[0]!r}: there are {', '.join(sorted(CELLS))}")
    where = start(device, plain_memory=plain_memory)
    for size in [parse_size(text) for text in sizes or SIZES]:
        rows = _measure(size, cells or sorted(CELLS), runs, where)
        _report(size, rows, describe_device(where), as_json)


def cell_steps(
    size: Size, cells: list[str], device: torch.device, variants: tuple[str, ...] = VARIANTS
) -> dict[tuple[str, str], Callable[[], None]]:
    """Forward and backward passes of torch's layers and of each cell, by name and variant.

    Args:
        size: of the batch and the layer.
        cells: names of registered cells.
        device: where they are run.
        variants: of VARIANTS; those that a cell does not have are left out.
    """
    torch.manual_seed(0)
    inputs = torch.randn(size.batch_size, size.steps, size.input_size, device=device, requires_grad=True)
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    for name, kernel in KERNELS.items():
        steps[name, "default"] = _kernel_step(kernel(size.input_size, size.hidden_size, batch_first=True), inputs)
    for cell in cells:
        stack = RecurrentStack(cell=cell, input_size=size.input_size, hidden_size=size.hidden_size).to(device)
        can_fuse: bool = stack.cells[0].can_fuse()  # type: ignore[operator]
        for variant in variants if can_fuse else [name for name in variants if name in ("default", "loop")]:
            if variant != "fused, no C" or kernels(inputs):
                steps[cell, variant] = _stack_step(stack, inputs, variant)
    return steps


def _measure(size: Size, cells: list[str], runs: int, device: torch.device) -> list[Plain]:
    steps = cell_steps(size, cells, device)
    seconds = median_seconds(steps, runs, device)
    names = dict.fromkeys(name for name, _ in steps)
    reference = seconds["nn.LSTM", "default"]
    base = peak_memory(steps["nn.LSTM", "default"], device)
    return [
        {
            "cell": name,
            **{f"{variant} ms": seconds[name, variant] * 1e3 for variant in VARIANTS if (name, variant) in seconds},
            "/ nn.LSTM": seconds[name, "default"] / reference,
            "memory MiB": (memory := peak_memory(steps[name, "default"], device)) / 2**20,
            "memory / nn.LSTM": memory / base,
        }
        for name in names
    ]


def _kernel_step(module: nn.Module, inputs: Tensor) -> Callable[[], None]:
    module = module.to(inputs.device)

    def step() -> None:
        outputs, _ = module(inputs)
        outputs.sum().backward()

    return step


def _stack_step(stack: RecurrentStack, inputs: Tensor, variant: str) -> Callable[[], None]:
    lengths = torch.full((inputs.shape[0],), inputs.shape[1])

    def step() -> None:
        with _variant(variant):
            outputs, _ = stack(inputs, lengths)
            outputs.sum().backward()

    return step


@contextmanager
def _variant(variant: str) -> Iterator[None]:
    """Runs the block with one of VARIANTS."""
    if variant == "default":
        yield
        return
    before = os.environ.get("SLUICE_NATIVE")
    if variant == "fused, no C":
        os.environ["SLUICE_NATIVE"] = "0"
    try:
        with force_backend("steps" if variant == "loop" else "fused"):
            yield
    finally:
        os.environ.pop("SLUICE_NATIVE", None)
        if before is not None:
            os.environ["SLUICE_NATIVE"] = before


def peak_memory(step: Callable[[], None], device: torch.device) -> int:
    """Peak memory of a step in bytes, in addition to what was allocated before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    allocated = peak = 0
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def _report(size: Size, rows: list[Plain], device: str, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "cells", "size": size._asdict(), "device": device, **row}))
        return
    table = Table(title=f"Training step, forward and backward: {size}, {device}", title_justify="left", box=None)
    for heading in ("cell", "default", "/ nn.LSTM", "fused", "fused, no C", "loop", "memory", "/ nn.LSTM"):
        table.add_column(heading, justify="left" if heading == "cell" else "right", no_wrap=True)
    reference = rows[0]["default ms"]
    for row in rows:
        others = [_format(row.get(f"{variant} ms"), reference) for variant in VARIANTS[1:]]
        table.add_row(
            row["cell"],
            f"{row['default ms']:,.1f} ms",
            f"{row['/ nn.LSTM']:.2f}",
            *others,
            f"{row['memory MiB']:,.0f} MiB",
            f"{row['memory / nn.LSTM']:.2f}",
        )
    console = Console(width=max(Console().width, WIDTH))
    console.print(table)
    console.print("default: the backend that Sluice selects; fused: the fused scan, with and without the C kernels;")
    console.print("loop: the cell's step in a Python loop. In parentheses: time divided by that of nn.LSTM.")


def _format(milliseconds: float | None, reference: float) -> str:
    return "" if milliseconds is None else f"{milliseconds:,.1f} ({milliseconds / reference:.2f})"
