"""Errors of Hydra and OmegaConf as one sentence with a remedy."""

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from sluice.config.renamed import RENAMED_OPTIONS, explain_old_name
from sluice.config.schema import TASK_SCHEMAS, Config
from sluice.errors import UserError

FREE_GROUPS = ("optimizer", "scheduler", "trainer", "callbacks", "logger")
"""Groups without a schema: they take the arguments of the class in `_target_`."""

_KINDS = {"Integer": "a whole number", "Float": "a number"}


@contextmanager
def explained() -> Iterator[None]:
    """Converts errors of Hydra and OmegaConf to UserError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error
    except ValueError as error:
        if "Config group override must be" not in str(error):
            raise
        raise UserError("a group cannot be null: choose one of its options, see python train.py --help") from error


def explain(error: Exception) -> str:
    """Describes an error of Hydra or OmegaConf in one sentence with a remedy."""
    text = str(error)
    if isinstance(error, MissingConfigException):
        return _unknown_option(text)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be parsed: write settings as key=value, values with spaces as 'key=\"…\"'"
    if isinstance(error, MissingMandatoryValue):
        key = _full_key(text) or text.splitlines()[0]
        return f"{key} is not set: give it as {key}=..."
    cause = error.__cause__ or error
    if isinstance(error, ConfigCompositionException) and "Could not override" in text:
        return _unknown_key(text)
    if "Ambiguous value" in text:
        return f"{_first_line(text)}: add -m for a sweep over the values, or write a list as key=[a,b]"
    where = _full_key(str(cause)) or _full_key(text)
    old = explain_old_name(where or "")
    if old:
        return old
    override = re.search(r"Error merging override (\S+)", text)
    if override:
        return f"{override[1]} cannot be used: {_expectation(cause)}"
    return f"{where}: {_first_line(cause)}" if where else _first_line(error)


def _expectation(error: BaseException) -> str:
    """Describes the type that OmegaConf expected."""
    kind = re.search(r"could not be converted to (\w+)", str(error))
    if kind and kind[1] in _KINDS:
        return f"it must be {_KINDS[kind[1]]}"
    if "is not a valid bool" in str(error):
        return "it must be true or false"
    return "it must not be null" if "is not Optional" in str(error) else _first_line(error)


def _unknown_option(text: str) -> str:
    """In 'config': Could not find 'model/foo' … Available options in 'model': …"""
    unregistered = re.search(r"Could not load 'schema/([^']+)'", text)
    if unregistered:
        return f"there is no task registered as {unregistered[1]!r}: name the file that registers it, task.module=FILE"
    found = re.search(r"Could not find '([\w/]+)/([^/']+)'", text)
    if not found:
        group = re.search(r"Could not override '([^']+)'", text)
        return f"there is no group {group[1]!r}: see python train.py --help" if group else _first_line(text)
    group_name, name = found[1], found[2]
    if group_name == "task" and name in TASK_SCHEMAS:
        return f"there is no task/{name}.yaml for task={name}: name the configuration folder that has it, -cd DIR"
    new = RENAMED_OPTIONS.get(f"{group_name}={name}")
    if new:
        return f"there is no {group_name}={name}: it is now called {new}"
    options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
    return f"there is no {group_name}={name}: there are {', '.join(options)}{_suggest(name, options)}"


def _unknown_key(text: str) -> str:
    """Could not override 'task.data.foo'. …"""
    found = re.search(r"Could not override '([^']*)'", text)
    key = found[1].split("@")[0] if found else text
    if not key:
        return "a setting without a name cannot be used: write settings as key=value"
    old = explain_old_name(key)
    if old:
        return old
    if key.split(".")[0] in FREE_GROUPS:
        return f"{key} is not in the chosen option: if its class takes this argument, add it as +{key}=..."
    return no_setting(key, list(_known_keys(key.rpartition(".")[0])))


def no_setting(key: str, known: list[str]) -> str:
    """The message for a setting that does not exist; `known` are the settings next to it."""
    old = explain_old_name(key)
    if old:
        return old
    parent, _, leaf = key.rpartition(".")
    if not known:
        return f"there is no setting {key!r}: see python train.py --help"
    return f"there is no setting {key!r}: {parent or 'the top level'} has {', '.join(known)}{_suggest(leaf, known)}"


def _known_keys(parent: str) -> Iterable[str]:
    """Names of the settings below a dotted key; below `task`, those of all tasks."""
    first, *rest = parent.split(".")
    roots: list[Any] = list(TASK_SCHEMAS.values()) if first == "task" else [Config]
    path = rest if first == "task" else [part for part in (first, *rest) if part]
    names: dict[str, None] = {}
    for root in roots:
        node: Any = root()
        for part in path:
            node = getattr(node, part, None)
        if is_dataclass(node):
            names |= dict.fromkeys(entry.name for entry in fields(node))
    return names


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _full_key(text: str) -> str | None:
    found = re.search(r"full_key: (\S+)", text)
    return found[1] if found else None


def _first_line(error: Exception | BaseException | str) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
