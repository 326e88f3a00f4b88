"""The text of `sluice train --help`, from the configuration folder and the schemas."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.config.fields import MISSING, Allowed
from sluice.config.schema import TASK_SCHEMAS, Config
from sluice.plain import Plain
from sluice.program import training_command

GROUPS = (
    ("task", "data, network and metrics"),
    ("model", "the recurrent core"),
    ("embedding", "token representation"),
    ("optimizer", ""),
    ("scheduler", "learning-rate schedule"),
    ("trainer", "devices and precision"),
    ("callbacks", ""),
    ("logger", ""),
    ("experiment", "complete experiments"),
    ("hparams_search", "searches for settings"),
    ("debug", ""),
)

HEAD = """Train a recurrent text model.

  {command} model=lstm task=imdb                          train, test, write outputs/imdb/lstm/...
  {command} model=gru task=reviews task.data.path=my.csv  train on your own texts
  {command} -m model=rnn,gru,lstm seed=1,2,3              sweep: one run after the other
  {command} -cd DIR task=mine                             use the configuration files in DIR too
  {command} resume=outputs/imdb/lstm/NAME                 resume an interrupted run with its own settings
  {command} debug=fast                                    run a few batches of each stage
  {command} model=lstm task=imdb --cfg job                print the configuration and exit
"""


def training_help(conf: Path) -> str:
    """The help text; `conf` is the configuration folder."""
    parts = [HEAD.format(command=training_command()), "\nGroups: choose with group=name\n"]
    parts += [_group(conf, name, meaning) for name, meaning in GROUPS if (conf / name).is_dir()]
    parts.append(
        "\nSettings: change with key=value; those described as 'default of X' are for task files, set X instead\n"
    )
    parts += _settings(Config(), "", {})
    for name, schema in TASK_SCHEMAS.items():
        parts += [f"\n  with task={name}\n", *_settings(schema(), "task.", _yaml(conf / "task" / f"{name}.yaml"))]
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


def _yaml(file: Path) -> Plain:
    """The settings of a task's YAML file, which replace the defaults of its schema."""
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _settings(defaults: Any, prefix: str, chosen: Plain) -> list[str]:
    lines: list[str] = []
    for entry in fields(defaults):
        key, default = prefix + entry.name, getattr(defaults, entry.name)
        given = chosen.get(entry.name, default)
        if is_dataclass(default):
            lines += _settings(default, f"{key}.", given if isinstance(given, dict) else {})
        elif "meaning" in entry.metadata:
            lines.append(_setting(key, given, entry.metadata["meaning"], entry.metadata["allowed"]))
    return lines


def _setting(key: str, default: object, meaning: str, allowed: Allowed) -> str:
    shown = "" if default == MISSING else "null" if default is None else str(default)
    if isinstance(default, bool):
        shown = shown.lower()
    if isinstance(default, list):
        shown = f"[{','.join(map(str, default))}]"
    listed = ", or a list with a number for each layer, from the bottom" if allowed.sizes else ""
    expected = f" ({allowed.expected()}{listed})" if allowed.expected() else ""
    return f"    {key + '=' + shown:<44} {meaning}{expected}\n"
