"""sluice bench scale: training speed with one and with several processes."""

import json
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sluice.composition.compose import compose_config
from sluice.installation import find_conf
from sluice.training.run import train

SETTINGS = ("task=imdb", "task.data.source=sample", "logger=none", "callbacks=none", "task.max_epochs=1")


def bench_scale(*, processes: list[int], batches: int, threads: int, accelerator: str, as_json: bool) -> None:
    """Measures the training speed of the default classifier on generated texts for each number of processes.

    Args:
        processes: the numbers of processes.
        batches: number of batches of 64 texts for each process.
        threads: CPU threads of each process.
        accelerator: "cpu" or "gpu".
        as_json: print one JSON object per row instead of a table.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    rows = [_measured(number, batches, accelerator) for number in processes]
    if as_json:
        for row in rows:
            print(json.dumps({"bench": "scale", "threads": threads, **row}))
        return
    table = Table(
        title=f"Training, 64 texts per batch and process, {threads} threads per process", title_justify="left", box=None
    )
    for heading in ("processes", "tokens/s", "speed-up"):
        table.add_column(heading, justify="right")
    for row in rows:
        speed = row["tokens_per_second"]
        table.add_row(str(row["processes"]), f"{speed:,.0f}", f"{speed / rows[0]['tokens_per_second']:.2f}")
    Console(soft_wrap=True).print(table)


def _measured(number: int, batches: int, accelerator: str) -> dict[str, float]:
    import torch

    if accelerator == "cpu":
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"paths.{name}={folder}/{name}" for name in ("output_dir", "cache_dir")]
        Path(folder, "data").mkdir()
        overrides = [
            *SETTINGS,
            *paths,
            f"paths.data_dir={folder}/data",
            f"trainer.limit_train_batches={batches}",
            "trainer.limit_val_batches=1",
            "trainer.limit_test_batches=1",
            f"trainer.accelerator={accelerator}",
            f"trainer.devices={number}",
        ]
        results = train(compose_config(overrides, find_conf())).results
    return {"processes": number, "tokens_per_second": float(results["train/tokens_per_second"])}
