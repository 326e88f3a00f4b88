"""sluice bench language: training speed of language models compared with plain torch, and generation speed."""

import json
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.benchmarks.cells import peak_memory
from sluice.benchmarks.timing import bench_device, describe_device, median_seconds, synchronize
from sluice.decoding.sampling import sample
from sluice.layers.embedding import LearnedEmbedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel
from sluice.plain import Plain
from sluice.recurrent import RecurrentStack
from sluice.recurrent.malloc import keep_freed_memory

CUTOFFS = (2_000, 10_000)
"""Cutoffs of the adaptive softmax."""
GENERATED_TOKENS = 100
"""Number of tokens generated to measure generation speed."""


class TorchBaseline(nn.Module):
    """Baseline: nn.Embedding, nn.LSTM, a tied nn.Linear, and cross-entropy over the logits of all tokens at once."""

    def __init__(self, vocab_size: int, size: int, layers: int) -> None:
        """
        Args:
            vocab_size: number of words.
            size: embedding size and hidden size.
            layers: number of LSTM layers.
        """
        super().__init__()
        self.table = nn.Embedding(vocab_size, size)
        self.lstm = nn.LSTM(size, size, layers, batch_first=True)
        self.output = nn.Linear(size, vocab_size)
        self.output.weight = self.table.weight

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of (B, T) targets."""
        outputs, _ = self.lstm(self.table(inputs))
        return F.cross_entropy(self.output(outputs).flatten(0, 1), targets.flatten())


def bench_language(
    *, batch_size: int, steps: int, units: int, layers: int, vocab_size: int, runs: int, device: str, as_json: bool
) -> None:
    """Times training steps, including the optimizer, on token ids from a Zipf distribution, and generation.

    Args:
        batch_size: B, number of streams.
        steps: T, steps of a chunk.
        units: size of the embedding and of each layer.
        layers: number of LSTM layers.
        vocab_size: V, above the last cutoff of the adaptive softmax.
        runs: number of timed rounds; medians are reported.
        device: "cpu" or "cuda".
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if the device is invalid.
    """
    where = bench_device(device)
    keep_freed_memory()
    torch.manual_seed(0)
    words = _words(vocab_size, batch_size * (steps + 1)).view(batch_size, steps + 1).to(where)
    inputs, targets = words[:, :-1], words[:, 1:]
    baseline = TorchBaseline(vocab_size, units, layers).to(where)
    models = {f"sluice, {kind}": _model(kind, vocab_size, units, layers).to(where) for kind in ("full", "adaptive")}
    training: dict[str, Callable[[], None]] = {"plain torch": _baseline_step(baseline, inputs, targets)}
    training |= {name: _sluice_step(model, inputs, targets) for name, model in models.items()}
    seconds = median_seconds(training, runs, where)
    rows = [
        {
            "model": name,
            "ms": seconds[name] * 1e3,
            "tokens/s": batch_size * steps / seconds[name],
            "memory MiB": peak_memory(step, where) / 2**20,
            **({"generated tokens/s": _generation_speed(models[name])} if name in models else {}),
        }
        for name, step in training.items()
    ]
    sizes = f"B={batch_size} T={steps}, LSTM {layers}x{units}, {vocab_size:,} words, {describe_device(where)}"
    _report(sizes, rows, batch_size * steps * vocab_size * 4 / 2**20, as_json)


def _model(head: str, vocab_size: int, units: int, layers: int) -> LanguageModel:
    embedding = LearnedEmbedding(vocab_size=vocab_size, size=units, padding_id=1)
    table: Any = embedding.table.weight
    return LanguageModel(
        embedding=embedding,
        recurrent=RecurrentStack(cell="lstm", input_size=units, hidden_size=units, num_layers=layers),
        head=make_head(head, input_size=units, vocab_size=vocab_size, table=table, cutoffs=CUTOFFS),
    )


def _words(vocab_size: int, number: int) -> Tensor:
    """Token ids sampled from a Zipf distribution; frequent tokens have small ids."""
    return torch.multinomial(1 / torch.arange(1, vocab_size + 1), number, replacement=True)


def _baseline_step(model: TorchBaseline, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model.loss(inputs, targets).backward()
        optimizer.step()

    return step


def _sluice_step(model: LanguageModel, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        (model.total_loss(model(inputs), targets) / targets.numel()).backward()
        optimizer.step()

    return step


def _generation_speed(model: LanguageModel) -> float:
    """Generated tokens per second, for a single text."""
    model.eval()
    device = next(model.parameters()).device
    last, state = model.prefill(torch.tensor([[2, 3]], device=device))
    sample(model.step, last, state, tokens=5)
    synchronize(device)
    started = time.perf_counter()
    sample(model.step, last, state, tokens=GENERATED_TOKENS)
    synchronize(device)
    return GENERATED_TOKENS / (time.perf_counter() - started)


def _report(sizes: str, rows: list[Plain], logits: float, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "language", "sizes": sizes, **row}))
        return
    table = Table(title=f"Training step including the optimizer: {sizes}", title_justify="left", box=None)
    for heading in ("model", "step", "training tokens/s", "peak memory", "generated tokens/s"):
        table.add_column(heading, justify="right")
    for row in rows:
        generation = f"{row['generated tokens/s']:,.0f}" if "generated tokens/s" in row else ""
        cells = (f"{row['ms']:,.0f} ms", f"{row['tokens/s']:,.0f}", f"{row['memory MiB']:,.0f} MiB", generation)
        table.add_row(row["model"], *cells)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"Materialising the logits of all tokens takes {logits:,.0f} MiB, and their softmax as much again.")
