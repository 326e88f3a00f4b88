"""Stores the overrides a run was started with, and restores its settings from them when it is resumed.

config.yaml is not enough, since its interpolations are resolved: settings derived from a changed one would not follow.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sluice.composition.checks import VECTORS
from sluice.composition.compose import compose_config, flat
from sluice.composition.errors import explain, explained
from sluice.composition.hydra_options import find_configuration
from sluice.config.common import TaskSettings
from sluice.config.renamed import update_overrides, update_settings
from sluice.config.schema import TASK_SCHEMAS, Config, find_schema
from sluice.config.user_code import REGISTERS, target_problem
from sluice.data.cache import is_cache
from sluice.errors import UserError
from sluice.files import write_atomically
from sluice.overrides import override_of
from sluice.plain import Plain
from sluice.runs.checkpoint import read_checkpoint
from sluice.training.resume import LAST, can_resume, find_run, read_stored_config, resolve_run

OVERRIDES = "overrides.yaml"
NOT_STORED = ("resume", "resume_force", "name")
"""Settings of a single command, not stored."""
RUN_DIRS = (
    *(f"logger.{name}.run_dir" for name in ("tensorboard", "csv", "mlflow", "wandb")),
    "callbacks.last_epochs.run_dir",
)
"""Settings in conf/ whose value is the run folder."""
WRITING_GROUPS = ("callbacks", "logger", "trainer")
"""Groups whose objects write files."""
_PATH_KEY = re.compile(r"(dir|path|file|root|folder|uri|entity)(name)?$")
"""Settings in these groups that name a folder, a file, a database, a server or an account."""


def write_overrides(folder: Path, overrides: Sequence[str] | None) -> None:
    """Stores the overrides of a command line in a run folder; None removes the file."""
    path = folder / OVERRIDES
    if overrides is None:
        path.unlink(missing_ok=True)
        return
    kept = [_line(parsed) for parsed in _parsed(overrides) if _key(parsed) not in NOT_STORED]
    write_atomically(path, yaml.safe_dump(kept, allow_unicode=True, width=10_000))


def stored_overrides(folder: Path) -> list[str] | None:
    """The overrides that a run was started with; None if an earlier version didn't store them.

    Raises:
        UserError: if the file cannot be read.
    """
    path = folder / OVERRIDES
    try:
        stored: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(stored, list) or not all(isinstance(line, str) for line in stored):
            raise ValueError("it is not a list of overrides")
        parsed = _parsed(update_overrides(stored))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError, HydraException) as error:
        raise UserError(
            f"{path} cannot be read: restore it, or delete it and give all settings on the command line"
        ) from error
    return [_line(override) for override in parsed if may_be_restored(_key(override))]


def may_be_restored(key: str) -> bool:
    """Whether a setting may be restored from a run folder when the run is resumed.

    Stored overrides of Hydra's own settings, of single commands, and of all paths except `paths.data_dir` are ignored;
    the other paths come from `_stored_paths`.

    Args:
        key: a group or the dotted name of a setting.
    """
    first = key.split(".")[0].split("/")[0]
    return key == "paths.data_dir" or (key not in NOT_STORED and first not in ("hydra", "paths"))


def check_restored_setting(folder: Path, key: str, value: object, line: str) -> None:
    """Refuses a setting restored from a run folder that would run code from outside Sluice or write outside the run.

    Args:
        folder: the run folder.
        key: a group or the dotted name of a setting.
        value: the chosen option or the value.
        line: both, as an override.

    Raises:
        UserError: if the setting is unsafe; the message names it.
    """
    group, _, last = key.lstrip("+").partition(".")
    leaves = flat({key.lstrip("+"): value})
    named = [path for leaf, path in leaves.items() if leaf in REGISTERS and path is not None]
    if named:
        problem: str | None = f"{named[0]} is code from outside Sluice"
    elif target := _output_outside_run(group, leaves):
        problem = f"{target} would set where files are written"
    elif "${" in line:
        problem = "it contains an interpolation"
    elif not last and isinstance(value, str) and (value.startswith("/") or ".." in value):
        problem = f"{value} is outside the configuration folder"
    else:
        problem = _target_problem(group, leaves) or target_problem(group, value)
    if problem and value is not None:
        raise UserError(
            f"the run in {folder} was started with {line}, but {problem}: to allow it, add {line} to the command line"
        )


def _target_problem(group: str, leaves: Plain) -> str | None:
    """The reason why a setting that names a class may not be used; None if it may."""
    targets = (path for key, path in leaves.items() if key.rpartition(".")[2] == "_target_")
    return next((problem for path in targets if (problem := target_problem(group, {"_target_": path}))), None)


def _output_outside_run(group: str, leaves: Plain) -> str | None:
    """A stored setting with a path that a callback, a logger or the trainer would write to; None if there is none."""
    if group not in WRITING_GROUPS:
        return None
    return next(
        (
            f"{key}={value}"
            for key, value in leaves.items()
            if isinstance(value, str)
            and not key.endswith("_target_")
            and (_PATH_KEY.search(key) or value.startswith(("/", "~", "..")))
        ),
        None,
    )


def resume_arguments(arguments: Sequence[str], conf: Path) -> list[str]:
    """Inserts the stored settings of the run given by `resume=` before the settings of the command line.

    The arguments are returned unchanged if they don't resume exactly one run, if Hydra will refuse them, or if the
    run was written by a version that didn't store its command line.

    Args:
        arguments: options and overrides.
        conf: the configuration folder.

    Raises:
        UserError: if there is no such run.
    """
    folder = run_to_resume(arguments, conf)
    stored = None if folder is None else stored_overrides(folder)
    if folder is None or stored is None:
        return list(arguments)
    mode = [] if {"-m", "--multirun"} & set(arguments) else ["hydra.mode=RUN"]
    place = find_configuration(arguments, conf)
    options = [*place.options, *(argument for argument in place.settings if not _is_override(argument))]
    parsed = _parsed([argument for argument in place.settings if _is_override(argument)])
    overrides = [_line(override) for override in parsed if _key(override) != "resume"]
    given = {_key(override) for override in parsed}
    stored = [line for line in stored if not _replaced(line, overrides)]
    for override in _parsed(stored):
        check_restored_setting(folder, _key(override), _plain_value(override), _line(override))
    used = [*_stored_paths(folder), *_stored_choices(folder)]
    kept = [override_of(key, value) for key, value in used if not {key, key.split(".")[0]} & given]
    return [*options, *stored, *kept, *overrides, override_of("resume", str(folder)), *mode]


def run_to_resume(arguments: Sequence[str], conf: Path) -> Path | None:
    """The folder of the run that a command line resumes; None if it resumes none or several.

    Raises:
        UserError: if there is no such run.
    """
    place = find_configuration(arguments, conf)
    overrides = [argument for argument in place.settings if _is_override(argument)]
    try:
        wanted = [override for override in _parsed(overrides) if _key(override) == "resume"]
    except HydraException:
        return None  # Hydra will refuse it
    if not wanted or wanted[-1].is_sweep_override() or wanted[-1].value() is None:
        return None
    value = _text(wanted[-1])
    if value != "last":
        return resolve_run(value)
    others = [_line(override) for override in _parsed(overrides) if not override.is_sweep_override()]
    own = [line for line in others if not line.startswith("hydra")]
    composed = compose_config([*own, *place.search_path], place.folders[0], place.name)
    return find_run("last", Path(composed.paths.output_dir), composed.task.name, composed.model.name)


def restored_config(folder: Path, overrides: Sequence[str], conf: Path) -> DictConfig | None:
    """Restores the settings of a run without stored overrides from its config.yaml, and applies overrides.

    Args:
        folder: the run folder.
        overrides: overrides of the command line.
        conf: the configuration folder.

    Returns:
        The configuration; None if the overrides choose another option of a group, since all settings must then be
        given, or if there is no checkpoint to resume from.

    Raises:
        UserError: if the configuration cannot be read, or other settings were derived from a changed one.
    """
    changes = [override for override in _parsed(overrides) if _key(override) != "resume"]
    if not can_resume(folder) or any((conf / _key(change)).is_dir() for change in changes):
        return None
    plain = {key: value for key, value in read_stored_config(folder).items() if key not in NOT_STORED}
    changed = {_key(change) for change in changes}
    _reset_run_dirs(plain)
    for key, value in flat(plain).items():
        if key not in changed:
            check_restored_setting(folder, key, value, f"{key}={value}")
    name = plain["task"]["name"]
    schema = name if name in TASK_SCHEMAS else read_checkpoint(folder / LAST)[1]["sluice"]["schema"]
    config = with_schema(plain, schema)
    config.paths = OmegaConf.merge(config.paths, _resume_paths(folder, conf))
    for key in RUN_DIRS:
        if OmegaConf.select(config, key.rpartition(".")[0]) is not None:
            OmegaConf.update(config, key, "${paths.run_dir}", force_add=True)
    OmegaConf.set_struct(config, True)
    derived = dict(_derivations(schema, conf))
    for change in changes:
        _check_no_dependents(change, config, derived, folder)
        with explained():
            OmegaConf.update(config, _key(change), change.value(), force_add=change.is_add())
    config.resume = str(folder)
    return config


def _reset_run_dirs(plain: Plain) -> None:
    """Removes the run folder from the settings of Sluice's loggers and callbacks, in case the run folder was moved."""
    for key in RUN_DIRS:
        group, name, _ = key.split(".")
        ((plain.get(group) or {}).get(name) or {}).pop("run_dir", None)


def _resume_paths(folder: Path, conf: Path) -> Plain:
    """The group `paths` of a resumed run: the defaults, overridden by `_stored_paths`."""
    defaults = compose_config([], conf).paths
    stored = {key.partition(".")[2]: path for key, path in _stored_paths(folder) if key.startswith("paths.")}
    paths = {
        "data_dir": defaults.data_dir,
        "cache_dir": defaults.cache_dir,
        "output_dir": defaults.output_dir,
        **stored,
    }
    return {**paths, "run_dir": None}


def _check_no_dependents(change: Override, config: DictConfig, dependents: dict[str, str], folder: Path) -> None:
    """Checks that a setting can be changed in a resolved configuration.

    Args:
        change: the override.
        config: the restored configuration.
        dependents: maps each setting to one whose default interpolates it.
        folder: the run folder.

    Raises:
        UserError: if other settings were derived from it, or it would be deleted.
    """
    key = _key(change)
    if change.is_delete():
        raise UserError(
            f"{change.input_line} cannot be applied to {folder}, written by an earlier version: set values instead"
        )
    if OmegaConf.select(config, key) == change.value():
        return
    for source, result in dependents.items():
        if f"{source}.".startswith(f"{key}.") or f"{key}.".startswith(f"{source}."):
            raise UserError(
                f"{key} cannot be changed in {folder}, written by an earlier version: {result} was derived from it; "
                f"change {result} instead"
            )


def _derivations(schema: str, conf: Path) -> Iterator[tuple[str, str]]:
    """Pairs (setting, setting whose default refers to it) of a task."""

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
        for key, value in node.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")
            elif isinstance(value, str):
                for source in re.findall(r"\$\{([a-z_][\w.]*)\}", value):
                    yield source, f"{prefix}{key}"

    composed = compose_config([f"task={schema}"], conf)
    yield from walk(OmegaConf.to_container(composed, resolve=False), "")


def _stored_paths(folder: Path) -> Iterator[tuple[str, str]]:
    """Absolute paths that a run used, so that it can be resumed from another working directory.

    A run folder must not redirect where files are written: its cache is reused only if it is a Sluice cache, and the
    output folder is derived from the location of the run folder.
    """
    before = flat(read_stored_config(folder))
    for key in ("paths.data_dir", *VECTORS):
        path = before.get(key)
        if path is not None and Path(path).exists() and not (key == "paths.data_dir" and os.environ.get("SLUICE_DATA")):
            yield key, str(path)
    if is_cache(Path(str(before.get("paths.cache_dir")))):
        yield "paths.cache_dir", str(before["paths.cache_dir"])
    if len(folder.parents) > 2:
        yield "paths.output_dir", str(folder.parents[2])


def _stored_choices(folder: Path) -> Iterator[tuple[str, str]]:
    """Values of settings that an earlier version may have chosen otherwise than this one."""
    if flat(read_stored_config(folder)).get("optimizer.fused") is False:
        yield "optimizer.fused", "false"


def _replaced(stored: str, overrides: Sequence[str]) -> bool:
    """Whether a stored override is replaced by one on the command line for the same setting."""
    (before,) = _parsed([stored])
    now = [override for override in _parsed(overrides) if _key(override) == _key(before)]
    return bool(now) and (not before.is_add() or any(override.is_add() for override in now))


def _is_override(argument: str) -> bool:
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def _parsed(overrides: Sequence[str]) -> list[Override]:
    parsed: list[Override] = OverridesParser.create().parse_overrides(overrides=list(overrides))
    return parsed


def _line(override: Override) -> str:
    """The original text of an override."""
    return str(override.input_line)


def _key(override: Override) -> str:
    return str(override.key_or_group)


def _plain_value(override: Override) -> Any:
    """The value as plain containers; None for a deleted or swept setting."""
    return None if override.is_delete() or override.is_sweep_override() else override.value()


def _text(override: Override) -> str:
    """The value of an override as a string, even if Hydra parses it as a number."""
    value = override.value()
    return value if isinstance(value, str) else str(override.get_value_element_as_str())


def _literal(stored: Any) -> Any:
    """Escapes interpolations in stored settings, which were resolved before they were stored."""
    if isinstance(stored, dict):
        return {key: _literal(value) for key, value in stored.items()}
    if isinstance(stored, list):
        return [_literal(value) for value in stored]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", stored) if isinstance(stored, str) else stored


def with_schema(plain: Plain, schema: str) -> DictConfig:
    """Returns the configuration that was saved with a run as a typed DictConfig, see `sluice.config.stored.restored`.

    Raises:
        UserError: for an unknown task, or settings that do not fit this version.
    """
    task_schema = find_schema(schema)
    if task_schema is None:
        raise UserError(f"the checkpoint has the unknown task {schema!r}: expected one of {', '.join(TASK_SCHEMAS)}")
    try:
        literal = _literal(update_settings(plain, schema))
        task = OmegaConf.merge(OmegaConf.structured(task_schema), literal.pop("task"))
        return OmegaConf.merge(OmegaConf.structured(Config(task=cast(TaskSettings, task))), literal)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(
            f"the configuration of the checkpoint does not fit this version of Sluice: {explain(error)}"
        ) from error
