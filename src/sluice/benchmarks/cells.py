"""sluice bench cells: every cell's training step against torch.nn's LSTM and against its own Python loop."""

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

from sluice.benchmarks.timing import bench_device, interleaved
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.recurrent import CELLS, RecurrentStack
from sluice.recurrent.fused.native import kernels
from sluice.recurrent.malloc import keep_freed_memory
from sluice.recurrent.scan import force_backend

KERNELS: dict[str, Callable[..., nn.Module]] = {"nn.LSTM": nn.LSTM, "nn.GRU": nn.GRU}
BACKENDS = ("default", "fused", "fused, no C", "loop")
"""The default; the fused scan; the fused scan without its C kernels; `step` in a Python loop."""


class Size(NamedTuple):
    """One problem size."""

    batch_size: int
    steps: int
    input_size: int
    hidden_size: int

    def __str__(self) -> str:
        return f"B={self.batch_size} T={self.steps} D={self.input_size} H={self.hidden_size}"


SIZES = ("64,200,128,256", "20,35,200,200", "32,70,400,1150")
"""A classifier's, a small and a large language model's."""
WIDTH = 108
"""Columns the table needs, also where the terminal says it has fewer."""


def parse_size(text: str) -> Size:
    """ "64,200,128,256" -> a Size.

    Raises:
        UserError: unless these are four whole numbers above 0.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--size {text} cannot be used: it must be batch,steps,inputs,units, as in 64,200,128,256")
    return Size(*(int(part) for part in parts))


def bench_cells(
    *, sizes: list[str], cells: list[str], runs: int, device: str, plain_memory: bool, as_json: bool
) -> None:
    """Times forward and backward of one layer, all rows of full length, and measures the peak of its memory.

    Args:
        sizes: see `parse_size`; empty for the three of SIZES.
        cells: registered cells; empty for all.
        runs: counted rounds.
        device: "cpu" or "cuda".
        plain_memory: leave memory to the C library, as a program that knows nothing of `keep_freed_memory`.
        as_json: one JSON object a row instead of a table.

    Raises:
        UserError: for a size or a cell that is none, or a device that isn't there.
    """
    unknown = [cell for cell in cells if cell not in CELLS]
    if unknown:
        raise UserError(f"there is no cell {unknown[0]}: there are {', '.join(sorted(CELLS))}")
    where = bench_device(device)
    if not plain_memory:
        keep_freed_memory()
    for size in [parse_size(text) for text in sizes or SIZES]:
        rows = _measure(size, cells or sorted(CELLS), runs, where)
        _report(size, rows, as_json)


def _measure(size: Size, cells: list[str], runs: int, device: torch.device) -> list[Plain]:
    torch.manual_seed(0)
    inputs = torch.randn(size.batch_size, size.steps, size.input_size, device=device, requires_grad=True)
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    for name, kernel in KERNELS.items():
        steps[name, "default"] = _kernel_step(kernel(size.input_size, size.hidden_size, batch_first=True), inputs)
    for cell in cells:
        stack = RecurrentStack(cell=cell, input_size=size.input_size, hidden_size=size.hidden_size).to(device)
        for backend in BACKENDS if stack.cells[0].can_fuse() else ("default", "loop"):  # type: ignore[operator]
            if backend != "fused, no C" or kernels(inputs):
                steps[cell, backend] = _stack_step(stack, inputs, backend)
    seconds = interleaved(steps, runs, device)
    names = dict.fromkeys(name for name, _ in steps)
    reference = seconds["nn.LSTM", "default"]
    base = peak_memory(steps["nn.LSTM", "default"], device)
    return [
        {
            "cell": name,
            **{f"{backend} ms": seconds[name, backend] * 1e3 for backend in BACKENDS if (name, backend) in seconds},
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


def _stack_step(stack: RecurrentStack, inputs: Tensor, backend: str) -> Callable[[], None]:
    lengths = torch.full((inputs.shape[0],), inputs.shape[1])

    def step() -> None:
        with _using(backend):
            outputs, _ = stack(inputs, lengths)
            outputs.sum().backward()

    return step


@contextmanager
def _using(backend: str) -> Iterator[None]:
    if backend == "default":
        yield
        return
    before = os.environ.get("SLUICE_NATIVE")
    if backend == "fused, no C":
        os.environ["SLUICE_NATIVE"] = "0"
    try:
        with force_backend("steps" if backend == "loop" else "fused"):
            yield
    finally:
        os.environ.pop("SLUICE_NATIVE", None)
        if before is not None:
            os.environ["SLUICE_NATIVE"] = before


def peak_memory(step: Callable[[], None], device: torch.device) -> int:
    """Bytes a step holds at its worst moment beyond what there was before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    held = highest = 0
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest


def _report(size: Size, rows: list[Plain], as_json: bool) -> None:
    threads = f"{torch.get_num_threads()} threads"
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "cells", "size": size._asdict(), "threads": threads, **row}))
        return
    table = Table(title=f"Training step, forward and backward: {size}, {threads}", title_justify="left", box=None)
    for heading in ("cell", "Sluice", "× nn.LSTM", "fused", "fused, no C", "loop", "memory", "× nn.LSTM"):
        table.add_column(heading, justify="left" if heading == "cell" else "right", no_wrap=True)
    reference = rows[0]["default ms"]
    for row in rows:
        others = [_figure(row.get(f"{backend} ms"), reference) for backend in BACKENDS[1:]]
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
    console.print("Sluice: the default backend; fused: the fused scan, with and without the C kernels;")
    console.print("loop: the cell's step under plain autograd. In brackets times nn.LSTM.")


def _figure(milliseconds: float | None, reference: float) -> str:
    return "" if milliseconds is None else f"{milliseconds:,.1f} ({milliseconds / reference:.2f})"
