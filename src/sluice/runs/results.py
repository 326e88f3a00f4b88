"""What a run writes next to its checkpoints: settings, results, the confusion matrix."""

import csv
import json
import math
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytorch_lightning
import torch
import yaml

from sluice import version
from sluice.files import write_atomically
from sluice.plain import Plain, PlainMapping
from sluice.version import __version__


def write_config(folder: Path, config: PlainMapping) -> None:
    """The resolved configuration, as config.yaml."""
    write_atomically(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))


def write_results(folder: Path, results: PlainMapping) -> None:
    """results.json, written whole or not at all; a figure that is NaN or infinite becomes null."""
    write_atomically(folder / "results.json", json.dumps(finite(dict(results)), indent=2, allow_nan=False) + "\n")


def finite(value: object) -> object:
    """The same nested containers with None for each number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_results(folder: Path) -> Plain:
    """What results.json holds."""
    results: Plain = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


def write_confusion(folder: Path, labels: Sequence[str], counts: list[list[int]]) -> None:
    """confusion.csv: a row for each true class, a column for each predicted one."""
    with (folder / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true", *labels])
        writer.writerows([label, *row] for label, row in zip(labels, counts, strict=True))


def provenance() -> Plain:
    """What a result needs to be found again: command, commit, versions, machine."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": _git_commit(),
        "version/sluice": __version__,
        "version/torch": torch.__version__,
        "version/pytorch_lightning": pytorch_lightning.__version__,
        "version/python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _git_commit() -> str | None:
    """The commit of the checkout Sluice runs from, with "-dirty" where files differ; None outside one."""
    folder = Path(version.__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SPECIAL = re.compile("[\\\\\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""The escape character, and what separates fields or, for some readers, lines."""


def escape_field(text: str) -> str:
    r"""A text as one field of a TSV file: a backslash, tab or line break in it becomes \\, \t, \n, \r or \uXXXX."""
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), text)


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a TSV file in which every row has as many fields as the header, whatever the texts hold."""
    lines = ["\t".join(map(escape_field, row)) for row in (header, *rows)]
    write_atomically(path, "\n".join([*lines, ""]))
