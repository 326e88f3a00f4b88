"""sluice bench all: one table of the ratios of speed, each measured with its baseline in one interleaved run."""

import json
from itertools import groupby
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from sluice.benchmarks.baselines import AttentionTranslator
from sluice.benchmarks.cells import SIZES, cell_steps, parse_size
from sluice.benchmarks.language import LanguageSizes, language_models, language_steps
from sluice.benchmarks.seq2seq import (
    EMBEDDING,
    INPUT_FEEDING,
    SOURCE_WORDS,
    TARGET_WORDS,
    random_pairs,
    training_step,
    translation_model,
)
from sluice.benchmarks.timing import (
    TORCH_LAYERS,
    VARIANTS,
    LengthSizes,
    describe_device,
    length_steps,
    median_seconds,
    start,
)
from sluice.recurrent import CELLS

WIDTH = 104
"""Minimum width of the table in characters, also on narrower terminals."""


class Comparison(NamedTuple):
    """Time of a training step, next to that of a baseline in plain torch."""

    work: str
    sizes: str
    baseline: str
    seconds: float
    baseline_seconds: float

    @property
    def speedup(self) -> float:
        """Time of the baseline, divided by Sluice's."""
        return self.baseline_seconds / self.seconds


def bench_all(*, runs: int, packed: bool, device: str, as_json: bool) -> None:
    """Times language models, translation, variable lengths and every cell against their baselines.

    Args:
        runs: number of timed rounds; medians are reported.
        packed: whether packed sequences, which are slow on a CPU, are among the baselines.
        device: "cpu" or "cuda".
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if the device is invalid.
    """
    where = start(device)
    parts = (_language(runs, where), _translation(runs, where), _lengths(runs, where, packed), _cells(runs, where))
    _report([row for part in parts for row in part], describe_device(where), as_json)


def _language(runs: int, device: torch.device) -> list[Comparison]:
    sizes = LanguageSizes()
    models = language_models(sizes, device)
    seconds = median_seconds(language_steps(models, sizes, device), runs, device)
    baselines = [name for name in seconds if name not in models]
    return [
        Comparison(f"language model, {_softmax(name)}", str(sizes), other, seconds[name], base)
        for name in models
        for other, base in ((other, seconds[other]) for other in baselines)
    ]


def _softmax(name: str) -> str:
    """Description of the row of `sluice bench language` with this name."""
    _, head, *precision = name.split(", ")
    return ", ".join([f"{head} softmax", *precision])


def _translation(runs: int, device: torch.device) -> list[Comparison]:
    pairs = random_pairs(128, device)
    translator = AttentionTranslator(SOURCE_WORDS, TARGET_WORDS, EMBEDDING, INPUT_FEEDING.units).to(device)
    steps = {
        "sluice": training_step(translation_model(INPUT_FEEDING).to(device), pairs),
        "plain torch": lambda: translator.step(*pairs),
    }
    seconds = median_seconds(steps, runs, device)
    work = "translation, input feeding, additive attention"
    sizes = f"B={len(pairs.source)}, GRU {INPUT_FEEDING.units}, {TARGET_WORDS:,} words"
    return [Comparison(work, sizes, "plain torch", seconds["sluice"], seconds["plain torch"])]


def _lengths(runs: int, device: torch.device, packed: bool) -> list[Comparison]:
    sizes = LengthSizes()
    rows = []
    for cell in TORCH_LAYERS:
        seconds = median_seconds(length_steps(sizes, cell, device, packed=packed), runs, device)
        for other in ("dense", "packed"):
            if other in seconds:
                work, baseline = f"{cell}, different lengths", f"{TORCH_LAYERS[cell].__name__}, {VARIANTS[other]}"
                rows.append(Comparison(work, str(sizes), baseline, seconds["sluice"], seconds[other]))
    return rows


def _cells(runs: int, device: torch.device) -> list[Comparison]:
    rows = []
    for size in map(parse_size, SIZES):
        seconds = median_seconds(cell_steps(size, sorted(CELLS), device, ("default",)), runs, device)
        reference = seconds["nn.LSTM", "default"]
        rows += [Comparison(cell, str(size), "nn.LSTM", seconds[cell, "default"], reference) for cell in sorted(CELLS)]
    return rows


def _report(rows: list[Comparison], device: str, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "all", "device": device, **row._asdict(), "speedup": row.speedup}))
        return
    table = Table(title=f"Training steps: {device}", title_justify="left", box=None)
    for heading in ("work", "Sluice", "baseline", "time", ""):
        table.add_column(heading, justify="left" if heading in ("work", "baseline") else "right", no_wrap=True)
    for sizes, group in groupby(rows, lambda row: row.sizes):
        table.add_row(f"[bold]{sizes}")
        for row in group:
            seconds = [f"{value * 1e3:,.1f} ms" for value in (row.seconds, row.baseline_seconds)]
            table.add_row(row.work, seconds[0], row.baseline, seconds[1], f"{row.speedup:.2f} ×")
    console = Console(width=max(Console().width, WIDTH), highlight=False)
    console.print(table)
    console.print("×: time of the baseline, divided by Sluice's. Baselines: sluice/benchmarks/baselines.py.")
