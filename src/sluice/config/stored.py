"""Restoring the configuration stored in a checkpoint, without OmegaConf, which is slow to import."""

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from sluice.config.fields import MISSING, Settings, shown
from sluice.config.renamed import update_settings
from sluice.config.schema import TASK_SCHEMAS, Config, find_schema
from sluice.errors import UserError
from sluice.plain import Plain

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
SettingsType = TypeVar("SettingsType", bound=Settings)


class _Reference(NamedTuple):
    """A setting that was not stored, whose default is the value of another one."""

    settings: Settings
    name: str
    key: str


def restored(plain: Plain, schema: str) -> Config:
    """Restores the Config that was saved with a run.

    Args:
        plain: nested plain containers.
        schema: registered name of the task's schema.

    Raises:
        UserError: for an unknown task, or settings that do not fit this version.
    """
    task = find_schema(schema)
    if task is None:
        raise UserError(f"the checkpoint has the unknown task {schema!r}: expected one of {', '.join(TASK_SCHEMAS)}")
    references: list[_Reference] = []
    config = _built(Config, update_settings(plain, schema), "", references, {"task": task})
    for settings, name, key in references:
        value: object = config
        for part in key.split("."):
            value = getattr(value, part)
        setattr(settings, name, value)
    return config


def _built(
    kind: type[SettingsType],
    given: object,
    prefix: str,
    references: list[_Reference],
    types_of: Mapping[str, type[Settings]] | None = None,
) -> SettingsType:
    """Creates settings from a plain dictionary.

    Args:
        kind: their dataclass.
        given: the dictionary.
        prefix: dotted name of the settings, for messages.
        references: settings whose values are found later; extended.
        types_of: dataclasses of fields that differ from the declared ones.
    """
    if not isinstance(given, dict):
        raise _unfit(f"{prefix.rstrip('.') or 'it'} must be a group of settings, got {shown(given)}")
    declared: dict[str, object] = {**get_type_hints(kind), **(types_of or {})}
    entries = fields(kind)  # type: ignore[arg-type]
    names = [entry.name for entry in entries]
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise _unfit(f"there is no setting {prefix}{unknown}")
    values = {name: _value(declared[name], value, prefix + name, references) for name, value in given.items()}
    required = [e.name for e in entries if e.default is NO_DEFAULT and e.default_factory is NO_DEFAULT]
    absent = next((name for name in required if name not in given), None)
    if absent is not None:
        raise _unfit(f"the setting {prefix}{absent} is missing")
    settings = kind(**values)
    for name in names:
        default = getattr(settings, name)
        if name not in given and isinstance(default, str):
            if default == MISSING:
                raise _unfit(f"the setting {prefix}{name} is missing")
            if reference := _REFERENCE.fullmatch(default):
                references.append(_Reference(settings, name, reference[1]))
    return settings


def _value(kind: object, value: Any, key: str, references: list[_Reference]) -> object:
    """Checks a value against its declared type; whole numbers are accepted for `float`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        found = [option for option in arguments if option is not type(None)]
        exact = next((option for option in found if type(value) is option), found[0])
        return _value(exact, value, key, references)
    if origin in (list, tuple) and isinstance(value, list | tuple):
        return origin(_value(arguments[0], part, f"{key}[{i}]", references) for i, part in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {name: _value(arguments[1], part, f"{key}.{name}", references) for name, part in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return _built(kind, value, f"{key}.", references)  # type: ignore[type-var]
    if kind is float and type(value) is int:
        return float(value)
    if not isinstance(kind, type) or type(value) is not kind:
        raise _unfit(f"{key}={shown(value)} must be of type {getattr(kind, '__name__', kind)}")
    return value


def _unfit(reason: str) -> UserError:
    return UserError(f"the configuration of the checkpoint does not fit this version of Sluice: {reason}")
