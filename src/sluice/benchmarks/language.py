"""sluice bench language: training speed of language models compared with plain torch, and generation speed."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sluice.benchmarks.baselines import TiedLanguageModel, WordLanguageModel
from sluice.benchmarks.cells import peak_memory
from sluice.benchmarks.timing import describe_device, median_seconds, start, synchronize
from sluice.decoding.sampling import sample
from sluice.layers.embedding import LearnedEmbedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel
from sluice.plain import Plain
from sluice.recurrent import RecurrentStack
from sluice.recurrent.fused.native import kernels

CUTOFFS = (1_000, 5_000, 15_000)
"""Cutoffs of the adaptive softmax."""
GENERATED_TOKENS = 100
"""Number of tokens generated to measure generation speed."""
WIDTH = 90
"""Minimum width of the table in characters, also on narrower terminals."""


class LanguageSizes(NamedTuple):
    """Sizes of a language model and of its chunks."""

    batch_size: int = 20
    steps: int = 35
    units: int = 200
    layers: int = 2
    vocab_size: int = 33_278

    def __str__(self) -> str:
        return f"B={self.batch_size} T={self.steps}, LSTM {self.layers}x{self.units}, {self.vocab_size:,} words"


def language_models(sizes: LanguageSizes, device: torch.device) -> dict[str, LanguageModel]:
    """Sluice's language models to be timed, by the name of their row.

    Names end in "bf16" where training steps run under autocast to bfloat16, on processors that multiply it fast.
    """
    library = kernels(torch.empty(0, device=device))
    precisions = ("", ", bf16") if library and library.multiplies_bfloat16 else ("",)
    names = [f"sluice, {head}{precision}" for head in ("full", "adaptive") for precision in precisions]
    return {name: _model(name.split(", ")[1], sizes).to(device) for name in names}


def language_steps(
    models: dict[str, LanguageModel], sizes: LanguageSizes, device: torch.device
) -> dict[str, Callable[[], None]]:
    """Training steps, with the optimizer, of two models in plain torch and of Sluice's, on ids of a Zipf distribution.

    Args:
        models: see `language_models`.
        sizes: of the models and the chunks.
        device: where they are trained.
    """
    words = _words(sizes.vocab_size, sizes.batch_size * (sizes.steps + 1)).view(sizes.batch_size, -1).to(device)
    inputs, targets = words[:, :-1], words[:, 1:]
    example = WordLanguageModel(sizes.vocab_size, sizes.units, sizes.layers).to(device)
    tied = TiedLanguageModel(sizes.vocab_size, sizes.units, sizes.layers).to(device)
    time_first = (inputs.T.contiguous(), targets.T.contiguous())
    return {
        "word_language_model": lambda: example.step(*time_first),
        "plain torch": lambda: tied.step(inputs, targets),
        **{name: _sluice_step(model, inputs, targets, "bf16" in name) for name, model in models.items()},
    }


def bench_language(*, sizes: LanguageSizes, runs: int, device: str, as_json: bool) -> None:
    """Times training steps, including the optimizer, and generation.

    Args:
        sizes: of the models and the chunks; `vocab_size` is above the last cutoff of the adaptive softmax.
        runs: number of timed rounds; medians are reported.
        device: "cpu" or "cuda".
        as_json: print one JSON object per row instead of a table.

    Raises:
        UserError: if the device is invalid.
    """
    where = start(device)
    models = language_models(sizes, where)
    steps = language_steps(models, sizes, where)
    seconds = median_seconds(steps, runs, where)
    tokens = sizes.batch_size * sizes.steps
    rows = [
        {
            "model": name,
            "ms": seconds[name] * 1e3,
            "tokens/s": tokens / seconds[name],
            "memory MiB": peak_memory(step, where) / 2**20,
            **({"generated tokens/s": _generation_speed(models[name])} if name in models else {}),
        }
        for name, step in steps.items()
    ]
    _report(f"{sizes}, {describe_device(where)}", rows, tokens * sizes.vocab_size * 4 / 2**20, as_json)


def _model(head: str, sizes: LanguageSizes) -> LanguageModel:
    units, vocab_size = sizes.units, sizes.vocab_size
    embedding = LearnedEmbedding(vocab_size=vocab_size, size=units, padding_id=1)
    table: Any = embedding.table.weight
    return LanguageModel(
        embedding=embedding,
        recurrent=RecurrentStack(cell="lstm", input_size=units, hidden_size=units, num_layers=sizes.layers),
        head=make_head(head, input_size=units, vocab_size=vocab_size, table=table, cutoffs=CUTOFFS),
    )


def _words(vocab_size: int, number: int) -> Tensor:
    """Token ids sampled from a Zipf distribution; frequent tokens have small ids."""
    return torch.multinomial(1 / torch.arange(1, vocab_size + 1), number, replacement=True)


def _sluice_step(model: LanguageModel, inputs: Tensor, targets: Tensor, bfloat16: bool) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bfloat16):
            loss = model.total_loss(model(inputs), targets, scale=1 / targets.numel())
        loss.backward()
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
    table = Table(box=None)
    for heading in ("model", "step", "training tokens/s", "peak memory", "generated tokens/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        generation = f"{row['generated tokens/s']:,.0f}" if "generated tokens/s" in row else ""
        cells = (f"{row['ms']:,.0f} ms", f"{row['tokens/s']:,.0f}", f"{row['memory MiB']:,.0f} MiB", generation)
        table.add_row(row["model"], *cells)
    console = Console(width=max(Console().width, WIDTH), highlight=False)
    console.print(f"[italic]Training step including the optimizer: {sizes}")  # as a title it would be folded
    console.print(table)
    console.print(f"Materialising the logits of all tokens takes {logits:,.0f} MiB, and their softmax as much again.")
