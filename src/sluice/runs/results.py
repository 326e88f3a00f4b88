"""Files that a run writes in addition to its checkpoints: settings, results and the confusion matrix."""

import csv
import json
import math
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytorch_lightning
import torch
import yaml

from sluice.files import write_atomically
from sluice.installation import repository
from sluice.plain import Plain, PlainMapping
from sluice.program import training_command_line
from sluice.version import __version__


def write_config(folder: Path, config: PlainMapping) -> None:
    """Writes the resolved configuration to config.yaml."""
    write_atomically(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))


def write_results(folder: Path, results: PlainMapping) -> None:
    """Writes results.json atomically; NaN and infinite values become null."""
    write_atomically(folder / "results.json", json.dumps(finite(dict(results)), indent=2, allow_nan=False) + "\n")


def finite(value: object) -> object:
    """Replaces NaN and infinite numbers in nested containers by None, since JSON has none."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_results(folder: Path) -> Plain:
    """Reads results.json."""
    results: Plain = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


def write_confusion(folder: Path, labels: Sequence[str], counts: list[list[int]]) -> None:
    """Writes confusion.csv, with a row for each true class and a column for each predicted class.

    Args:
        folder: the run folder.
        labels: names of the classes.
        counts: the confusion matrix.
    """
    with (folder / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true", *labels])
        writer.writerows([label, *row] for label, row in zip(labels, counts, strict=True))


def provenance() -> Plain:
    """Command, commit, versions, threads and date of a run, stored with its results for reproducibility."""
    return {
        "command": training_command_line(),
        "git_commit": _git_commit(),
        "version/sluice": __version__,
        "version/torch": torch.__version__,
        "version/pytorch_lightning": pytorch_lightning.__version__,
        "version/python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _git_commit() -> str | None:
    """The git commit of Sluice, with "-dirty" if files differ from it; None outside a checkout."""
    folder = repository()
    if folder is None:
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SPECIAL = re.compile("[\\\\\0\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""The escape character, and characters that separate fields or lines."""


def escape_field(text: str) -> str:
    r"""Escapes a field of a TSV file: backslashes, tabs and line breaks become \\, \t, \n, \r or \uXXXX."""
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), text)


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a TSV file with escaped fields.

    Args:
        path: the file.
        header: names of the columns.
        rows: the rows, each as long as the header.
    """
    lines = ["\t".join(map(escape_field, row)) for row in (header, *rows)]
    write_atomically(path, "\n".join([*lines, ""]))
