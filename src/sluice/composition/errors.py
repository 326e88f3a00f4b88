"""Errors of Hydra and OmegaConf as one sentence with a remedy."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import yaml
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    GrammarParseError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from sluice.composition.groups import DISABLING_OPTIONS, OTHER_GROUPS
from sluice.composition.unknown_names import (
    NAMELESS,
    first_line,
    known_settings,
    no_setting,
    setting_names,
    task_option,
    unknown_key,
    unknown_option,
    without_package,
)
from sluice.config.renamed import explain_old_name
from sluice.config.schema import TASK_SCHEMAS, Config
from sluice.errors import UserError, invalid_yaml
from sluice.program import training_command

_KINDS = {"Integer": "a whole number", "Float": "a number"}


@contextmanager
def explained(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Converts errors of Hydra and OmegaConf to UserError.

    Args:
        overrides: the command line, to find the override that an error does not name.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides)) from error
    except yaml.YAMLError as error:
        raise invalid_yaml(error) from error
    except ValueError as error:
        if "arg 3 must not be zero" in str(error):
            swept = next((override for override in overrides if "range(" in override), "range(...)")
            raise UserError(f"{swept} cannot be used: the step of a range must not be 0") from error
        if file := re.match(r"Invalid defaults list in '([^']+)'", str(error)):
            raise UserError(f"{file[1]}.yaml: its defaults must be a list, as in - override /task: copy") from error
        if "Config group override" not in str(error):
            raise
        raise UserError(_not_an_option(overrides)) from error


@contextmanager
def named_settings(config: Config) -> Iterator[None]:
    """Adds the group to the name of a setting with which an error of a generator or network begins: task.data.steps=1.

    Args:
        config: the configuration.
    """
    try:
        yield
    except UserError as error:
        name, sign, _ = str(error).partition("=")
        groups = {"task.data": getattr(config.task, "data", None), "task": config.task, "model": config.model}
        group = next((key for key, settings in groups.items() if name in getattr(settings, "__dict__", ())), None)
        if not sign or group is None or type(error) is not UserError:
            raise
        raise UserError(f"{group}.{error}") from error


def explain(error: Exception, overrides: Sequence[str] = ()) -> str:
    """Describes an error of Hydra or OmegaConf in one sentence with a remedy.

    Args:
        error: the error.
        overrides: the command line.
    """
    text = str(error)
    if isinstance(error, MissingConfigException):
        return unknown_option(text)
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override), text)
    if isinstance(error, MissingMandatoryValue):
        key = _full_key(text) or text.splitlines()[0]
        return f"{key} is not set: give it as {key}=..."
    cause = error.__cause__ or error
    if isinstance(error, ConfigCompositionException) and "Could not override" in text:
        return unknown_key(text, overrides)
    where = _full_key(str(cause)) or _full_key(text)
    found = explain_old_name(where or "") or _composition_error(text, where, overrides)
    if found:
        return found
    override = re.search(r"Error merging override (.+)", text)
    is_list = override and "=[" in override[1] and "Cannot merge" in str(cause)
    if override and (is_list or " is not a subclass of " in str(cause)):
        expected = _settings_in(override[1], overrides)
        expected = expected or ("it must be a dictionary, as in {a: 1}, or null" if is_list else expectation(cause))
        return f"{override[1]} cannot be used: {expected}"
    if override:
        return f"{override[1]} cannot be used: {expectation(cause)}"
    if isinstance(error, InterpolationResolutionError):
        return _interpolation_error(cause, where, overrides)
    return f"{where}: {first_line(cause)}" if where else first_line(error)


def _settings_in(override: str, overrides: Sequence[str]) -> str | None:
    """Describes the settings of a nested group that an override sets to a value; None if it is no such group."""
    group = override.partition("=")[0].lstrip("+")
    names = list(known_settings(group, task_option(overrides)))
    return f"it has the settings {', '.join(names)}, set one of them as {group}.{names[0]}=..." if names else None


def _composition_error(text: str, where: str | None, overrides: Sequence[str]) -> str | None:
    """Describes the errors of Hydra that concern more than one override; None for others."""
    existing = re.search(r"An item is already at '([^']+)'", text)
    if existing:
        return f"+{existing[1]}=... cannot be used: the setting exists, write it without +"
    if "Could not delete ''" in text:
        return NAMELESS
    if "requires --multirun" in text or "does not support sweep type" in text:
        return _sweep_error(text, overrides)
    deleted = re.search(r"Could not delete (?:from config\. )?(?:The value of )?'([^']+)'", text)
    if deleted:
        return f"~{deleted[1]} cannot be used: it is not set, or has another value"
    if "Ambiguous value" in text:
        several = text.partition("'")[2].partition("'")[0]
        return f"{several} has several values: add -m for a sweep over them, or write a list as key=[a,b]"
    group = re.search(r"Override (\S+) looks like a config group override", text)
    if group:
        return f"{group[1]} cannot be used: there is no such group, see {training_command()} --help"
    clash = re.search(r"In '([^']+)': (\w+) raised while composing config", text)
    return _error_in_file(clash[1], clash[2], text, where, overrides) if clash else None


def _error_in_file(file: str, kind: str, text: str, where: str | None, overrides: Sequence[str]) -> str:
    """Describes an error in a configuration file.

    Args:
        file: the file, without .yaml.
        kind: name of the exception.
        text: the message of Hydra, with that of the exception in its second line.
        where: the setting.
        overrides: the command line.
    """
    reason = " ".join(text.splitlines()[1:2]).strip()
    if file.startswith("schema/"):
        return f"task={task_option(overrides)} cannot be used: tasks cannot be combined, choose one"
    if where is None:
        return f"{file}.yaml cannot be used: {reason}"
    if where == file.partition("/")[0]:
        return without_package(file)
    if kind == "ValidationError":
        return f"{where} in {file}.yaml cannot be used: {expectation(ValueError(reason))}"
    if any(where in setting_names(schema(), "task.") for schema in TASK_SCHEMAS.values()):
        return (
            f"{where} in {file}.yaml is not a setting of the chosen task: options that are made for different tasks "
            "cannot be combined"
        )
    known = [] if where.startswith("task.") else list(known_settings(where.rpartition(".")[0], ""))
    return f"{file}.yaml cannot be used: {no_setting(where, known)}"


def _sweep_error(text: str, overrides: Sequence[str]) -> str:
    """The message for a sweep without -m, or of a kind that the sweeper does not support."""
    swept = next((override for override in overrides if re.search(r"=\s*[a-z_]+\(", override)), "the sweep")
    if "requires --multirun" in text:
        return f"{swept} is a sweep: add -m"
    return f"{swept} cannot be used: the sweeper needs a finite list, such as seed=1,2 or seed=range(1,4)"


def _not_an_option(overrides: Sequence[str]) -> str:
    """The message for a group that is set to null, a number or the like."""
    for override in overrides:
        key, sign, value = override.partition("=")
        if not key.lstrip("+~"):
            return NAMELESS
        if sign and key in (*DISABLING_OPTIONS, *OTHER_GROUPS):
            if not re.fullmatch(r"null|[\d.]+|true|false|", value, re.IGNORECASE):
                continue
            hint = DISABLING_OPTIONS.get(key)
            instead = f"use {key}={hint}" if hint else f"choose one of its options, see {training_command()} --help"
            return f"{key}={value} cannot be used: {key} is a group, {instead}"
    return f"a group cannot be null or a number: choose one of its options, see {training_command()} --help"


def check_key(override: str, key: str) -> None:
    """Checks the part of an override before the equals sign.

    Raises:
        UserError: if it is no dotted name or group.
    """
    if not _KEY.fullmatch(key):
        raise UserError(_no_key(override, key))


def _no_key(override: str, key: str) -> str:
    return f"{override!r} cannot be parsed: {key!r} is not the name of a setting, such as trainer.max_epochs"


def _unreadable(override: str, reason: str = "") -> str:
    """The message for an override that Hydra cannot parse; names the character that needs quotes.

    Args:
        override: the override.
        reason: Hydra's message, used for functions such as range(1,3).
    """
    key, sign, value = override.partition("=")
    if sign and key and not _KEY.fullmatch(key):
        return _no_key(override, key)
    if _FUNCTION.match(value):
        found = re.search(r"(?:Error|Exception)[^:]*: (.+)|while evaluating '[^']*': (.+)", reason)
        why = f" ({found[1] or found[2]})" if found else ""
        return f"{override!r} cannot be parsed{why}: write a sweep as seed=1,2 or seed=range(1,4)"
    if not sign:
        return f"{override!r} cannot be parsed: write settings as key=value"
    other = next((character for character in value if not character.isascii()), None)
    if value.startswith("{") and other is not None:
        return f"{override!r} cannot be parsed because of {other!r}: put the dictionary in quotes, '{key}=\"{value}\"'"
    if value[:1] in "[{" and value:
        return f"{override!r} cannot be parsed: write lists as 'key=[a,b]' and dictionaries as 'key={{a: 1}}'"
    if value.count("'") % 2 or value.count('"') % 2:
        return f"{override!r} cannot be parsed: a quote in the value is not closed"
    special = next((character for character in value if not _UNQUOTED.fullmatch(character)), None)
    reason = f" because of {special!r}" if special else ""
    if "'" in value and '"' in value:
        return f"{override!r} cannot be parsed{reason}: escape the quotes in the value with a backslash"
    quote = "'" if '"' in value else '"'
    shell = '"' if quote == "'" else "'"
    return f"{override!r} cannot be parsed{reason}: put the value in quotes, {shell}{key}={quote}{value}{quote}{shell}"


_FUNCTION = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|int|float|str|bool|json_str|extend_list)\(")
"""Functions of Hydra's override grammar."""
_KEY = re.compile(r"[+~]*[\w-]+([./][\w-]+)*(@[\w.:-]*)?")
_UNQUOTED = re.compile(r"[A-Za-z0-9_/\-+.$%*@?|:\\]")
"""Characters of a value that need no quotes."""


def _interpolation_error(error: BaseException, where: str | None, overrides: Sequence[str]) -> str:
    """The message for a value such as ${task.foo} that cannot be resolved."""
    given = next((override for override in [*overrides, *sys.argv[1:]] if f"{where}=" in override), where)
    missing = re.search(r"(?:Interpolation key|Error resolving key) '([^']+)'", str(error))
    if missing and given is None:
        given = next((override for override in overrides if f"${{{missing[1]}}}" in override), "a setting")
    if missing:
        return f"{given} cannot be used: there is no setting {missing[1]!r}"
    if "Recursive interpolation" in str(error):
        return f"{given} cannot be used: the value refers to itself"
    if isinstance(error, UnsupportedInterpolationType):
        return f"{given} cannot be used: unknown resolver (available: oc.env, oc.select, now and others)"
    return f"{given} cannot be used: {expectation(error)}"


def expectation(error: BaseException) -> str:
    """Describes the type that OmegaConf expected."""
    kind = re.search(r"could not be converted to (\w+)", str(error))
    if isinstance(error, GrammarParseError):
        return "write an interpolation as ${task.name}"
    if kind and kind[1] in _KINDS:
        return f"it must be {_KINDS[kind[1]]}"
    if "is not a valid bool" in str(error):
        return "it must be true or false"
    if "Cannot convert" in str(error) and "to string" in str(error):
        return "it must be a string"
    if "is not a ListConfig" in str(error) or "Cannot merge DictConfig with ListConfig" in str(error):
        return "it must be a list, as in [1,2]"
    if "does not support deletion" in str(error):
        return "settings cannot be deleted, set another value"
    if "raised while resolving interpolation" in str(error):
        resolver = re.search(r"missing \d+ required|Key not found: '([^']+)'", str(error))
        if resolver is not None:
            return f"there is no setting {resolver[1]!r}" if resolver[1] else "the interpolation needs an argument"
    missing = re.search(r"Environment variable '([^']+)' not found", str(error))
    if missing:
        return f"there is no environment variable {missing[1]}"
    if "NoneType is not a subclass" in str(error):
        return "no entry must be null"
    is_null = "is not Optional" in str(error) or "Incompatible value 'None'" in str(error)
    return "it must not be null" if is_null else first_line(error)


def _full_key(text: str) -> str | None:
    found = re.search(r"full_key: (\S+)", text)
    return found[1] if found else None
