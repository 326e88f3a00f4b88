"""Comparison of an interrupted run with an uninterrupted one."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

CLOCKS = ("seconds", "minutes", "tokens_per_second", "pairs_per_second")
RUN_SPECIFIC = (
    *("name", "run_dir", "resume", "resume_force", "command", "date", "git_commit"),
    *("dirpath", "best_model_path", "kth_best_model_path", "best_k_models"),
    "current_score",  # Lightning writes it and reads it nowhere
    "zero_grad",  # counts steps of the process
)
"""Keys that differ between any two runs."""


def differences(run: Path, undisturbed: Path) -> list[str]:
    """All bitwise differences between two run folders, except for clocks and names."""
    return [
        f"{what}{where}: {one!r:.200} instead of {other!r:.200}"
        for what, read in READERS.items()
        for where, one, other in _differing(read(run), read(undisturbed))
    ]


def curves_of(run: Path) -> dict[str, list[tuple[int, Any]]]:
    """TensorBoard data of a run as (step, value) by tag; the value of texts and clocks is None."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    shown = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    return {tag: [(point.step, _value(tag, point.tensor_proto)) for point in points] for tag, points in shown.items()}


def _value(tag: str, proto: Any) -> Any:
    value = make_ndarray(proto)
    return None if tag.endswith(CLOCKS) or value is None or value.dtype == object else value.tolist()


def rows_of(run: Path) -> list[dict[str, str]]:
    """metrics.csv without empty fields and clocks."""
    path = run / "metrics.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if value and _counts(name)} for row in csv.DictReader(file)]


def _results(run: Path) -> Any:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def _last(run: Path) -> Any:
    return torch.load(run / "last.ckpt", weights_only=True)


def _best(run: Path) -> Any:
    return torch.load(run / "best.ckpt", weights_only=True)["state_dict"]


def _tables(run: Path) -> dict[str, str]:
    """Tables that some tasks write during the test."""
    kept = [run / name for name in ("confusion.csv", "translations.tsv", "vectors.txt")]
    return {path.name: path.read_text(encoding="utf-8") for path in kept if path.exists()}


READERS = {
    "last.ckpt": _last,
    "best.ckpt": _best,
    "results.json": _results,
    "metrics.csv": rows_of,
    "TensorBoard": curves_of,
    "tables": _tables,
}


def _counts(name: object) -> bool:
    return name not in RUN_SPECIFIC and not str(name).endswith(CLOCKS)


def _differing(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, one value, other value) of every differing leaf of nested containers."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if _counts(key):
                yield from _differing(one.get(key), other.get(key), f"{where}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differing(*pair, f"{where}[{number}]")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield where, one, other
    elif one != other:
        yield where, one, other
