"""python train.py --help: the configuration folder and the schemas, read out as a list of features."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from sluice.config.fields import Allowed
from sluice.config.schema import TASK_SCHEMAS, Config

GROUPS = (
    ("task", "what is learned"),
    ("model", "the recurrent core"),
    ("embedding", "what a word becomes"),
    ("optimizer", ""),
    ("scheduler", "learning rate over time"),
    ("trainer", "device and length"),
    ("callbacks", ""),
    ("logger", ""),
    ("experiment", "whole recipes"),
    ("debug", ""),
)

HEAD = """Train a recurrent text model.

  python train.py model=lstm task=imdb                          train, test, write outputs/imdb/lstm/...
  python train.py model=gru task=reviews task.data.path=my.csv  your own texts
  python train.py -m model=rnn,gru,lstm seed=1,2,3              a sweep, one run after the other
  python train.py resume=outputs/imdb/lstm/NAME                 resume an interrupted run with its own settings
  python train.py debug=fast                                    a few batches of everything
  python train.py model=lstm task=imdb --cfg job                show the configuration, train nothing
"""


def training_help(conf: Path) -> str:
    """The whole text."""
    parts = [HEAD, "\nGroups: choose with group=name\n"]
    parts += [_group(conf, name, meaning) for name, meaning in GROUPS if (conf / name).is_dir()]
    parts.append("\nSettings: change with key=value\n")
    parts += _settings(Config, "")
    for name, schema in TASK_SCHEMAS.items():
        parts += [f"\n  with task={name}\n", *_settings(schema, "task.")]
    return "".join(parts)


def _group(conf: Path, name: str, meaning: str) -> str:
    lines = [f"\n  {name}=" + (f"   {meaning}" if meaning else "") + "\n"]
    for file in sorted((conf / name).glob("*.yaml")):
        lines.append(f"    {file.stem:<22}{_first_comment(file)}\n")
    return "".join(lines)


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and "@package" not in line:
            return line[2:]
    return ""


def _settings(schema: Any, prefix: str) -> list[str]:
    lines: list[str] = []
    for entry in fields(schema):
        if is_dataclass(entry.type):
            lines += _settings(entry.type, f"{prefix}{entry.name}.")
        elif "meaning" in entry.metadata:
            lines.append(
                _setting(prefix + entry.name, entry.default, entry.metadata["meaning"], entry.metadata["allowed"])
            )
    return lines


def _setting(key: str, default: object, meaning: str, allowed: Allowed) -> str:
    shown = "" if default == MISSING else "null" if default is None else str(default).lower()
    if isinstance(default, str) and default.startswith("${"):
        shown = default
    expected = f" ({allowed.expected()})" if allowed.expected() else ""
    return f"    {key + '=' + shown:<44} {meaning}{expected}\n"
