"""Messages about names that do not exist: settings, groups and their options, with the closest ones that do."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any

from sluice.composition.groups import FREE_GROUPS, OTHER_GROUPS
from sluice.config.renamed import RENAMED_OPTIONS, explain_old_name
from sluice.config.schema import TASK_SCHEMAS, Config
from sluice.program import training_command

NAMELESS = "a setting without a name cannot be used: write settings as key=value"


def task_option(overrides: Sequence[str]) -> str:
    """The task on the command line, or the default task."""
    given = [override.partition("=")[2] for override in overrides if override.startswith("task=")]
    return given[-1] if given else "imdb"


def unknown_option(text: str) -> str:
    """The message for an unknown option of a group, from Hydra's "Could not find 'model/foo'"."""
    unregistered = re.search(r"Could not load 'schema/([^']+)'", text)
    if unregistered:
        return f"there is no task registered as {unregistered[1]!r}: name the file that registers it, task.module=FILE"
    primary = re.search(r"Cannot find primary config '([^']+)'", text)
    if primary:
        return f"--config-name {primary[1]} cannot be used: there is no {primary[1]}.yaml in the configuration folder"
    found = re.search(r"Could not (?:find|load) '([\w/]+)/([^/']*)'", text)
    if not found:
        group = re.search(r"Could not override '([^']+)'", text)
        return f"there is no group {group[1]!r}: see {training_command()} --help" if group else first_line(text)
    group_name, name = found[1], found[2]
    if (group_name, name) == ("hydra/sweeper", "optuna"):
        return "hydra/sweeper=optuna needs the package hydra-optuna-sweeper: pip install 'sluice-rnn[sweep]'"
    if group_name == "task" and name in TASK_SCHEMAS:
        return f"there is no task/{name}.yaml for task={name}: name the configuration folder that has it, -cd DIR"
    new = RENAMED_OPTIONS.get(f"{group_name}={name}")
    if new:
        return f"there is no {group_name}={name}: it is now called {new}"
    options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
    there = f"there are {', '.join(options)}" if options else f"see {training_command()} --help"
    return f"there is no {group_name}={name}: {there}{_suggest(name, options)}"


def unknown_key(text: str, overrides: Sequence[str]) -> str:
    """The message for an unknown setting, from Hydra's "Could not override 'task.data.foo'"."""
    found = re.search(r"Could not override '([^']*)'", text)
    key = found[1] if found else text
    if key in OTHER_GROUPS:
        return f"{key}=... cannot be used: {key} is a group, choose one of its options, see {training_command()} --help"
    if file := re.search(r"In '((\w+)/[^']+)': Could not override '\w+@\2\.", text):
        return without_package(file[1])
    if "@" in key:
        return f"{key}=... cannot be used: choose the option of a group as {key.split('@')[0]}=..., without @"
    if not key:
        return NAMELESS
    old = explain_old_name(key)
    if old:
        return old
    if key.split(".")[0] in FREE_GROUPS:
        return f"{key} is not in the chosen option: if its class takes this argument, add it as +{key}=..."
    return no_setting(key, list(known_settings(key.rpartition(".")[0], task_option(overrides))))


def no_setting(key: str, known: list[str]) -> str:
    """The message for a setting that does not exist; `known` are the settings next to it."""
    old = explain_old_name(key)
    if old:
        return old
    parent, _, leaf = key.rpartition(".")
    keys = {name: list(setting_names(schema(), "task.")) for name, schema in TASK_SCHEMAS.items()}
    others = [name for name in keys if key in keys[name]]
    elsewhere = f"it is a setting of the tasks {', '.join(others)}"
    if not known:
        close = _suggest(key, dict.fromkeys(chain(setting_names(Config(), ""), *keys.values())), cutoff=0.8)
        instead = elsewhere if others else f"see {training_command()} --help{close}"
        return f"there is no setting {key!r}: {instead}"
    named = [
        each for each in chain(setting_names(Config(), ""), *keys.values()) if not parent and each.endswith(f".{leaf}")
    ]
    hint = _suggest(leaf, known) or (f" (did you mean {named[0]}?)" if named else "")
    found = f"; {elsewhere}" if others else ""
    return f"there is no setting {key!r}: {parent or 'the top level'} has {', '.join(known)}{hint}{found}"


def setting_names(settings: Any, prefix: str) -> Iterator[str]:
    """Dotted names of all settings."""
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        yield from setting_names(value, f"{prefix}{entry.name}.") if is_dataclass(value) else [f"{prefix}{entry.name}"]


def known_settings(parent: str, task: str) -> Iterable[str]:
    """Names of the settings below a dotted key; below `task`, those of the chosen task."""
    first, *rest = parent.split(".")
    schemas = [TASK_SCHEMAS[task]] if task in TASK_SCHEMAS else list(TASK_SCHEMAS.values())
    roots: list[type] = [*schemas] if first == "task" else [Config]
    path = rest if first == "task" else [part for part in (first, *rest) if part]
    names: dict[str, None] = {}
    for root in roots:
        node: object = root()
        for part in path:
            node = getattr(node, part, None)
        if is_dataclass(node):
            names |= dict.fromkeys(entry.name for entry in fields(node))
    return names


def _suggest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {close[0]}?)" if close else ""


def without_package(file: str) -> str:
    """The message for a configuration file that sets other groups without saying so in its first line."""
    return f"{file}.yaml cannot be used: its first line must be # @package _global_, since it sets more than one group"


def first_line(error: Exception | BaseException | str) -> str:
    """The first line of a message; also the second one if the first ends in a colon, before the cause."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1]).rstrip(".")
