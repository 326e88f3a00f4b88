"""Composing and validating the configuration, from a command line or from a saved run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sluice.composition.checks import check_combinations
from sluice.composition.errors import expectation, explained
from sluice.composition.fused_optimizer import choose_fused
from sluice.composition.given import check_given, check_overrides
from sluice.composition.groups import DISABLING_OPTIONS, FREE_GROUPS
from sluice.composition.layer_sizes import check_sizes, parse_sizes, set_num_layers, unify_sizes
from sluice.composition.unknown_names import no_setting
from sluice.config.fields import check_finite
from sluice.config.renamed import explain_old_name
from sluice.config.schema import Config, check_ranges, register_schemas
from sluice.config.user_code import TASK, import_module, module_path
from sluice.errors import UserError
from sluice.plain import Plain

PATH_NAMES = ("path", "_dir", "module", "init_from", "resume")
"""Ends of the names of settings that are paths."""


def compose_config(overrides: list[str], conf: Path, name: str = "config") -> DictConfig:
    """Composes the configuration without starting a Hydra application.

    Args:
        overrides: as on the command line.
        conf: the configuration folder.
        name: name of the main file.

    Raises:
        UserError: for an invalid override.
    """
    check_overrides(overrides)
    import_named_task(overrides)
    register_schemas()
    with explained(overrides), initialize_config_dir(str(conf), version_base="1.3"):
        config = compose(name, overrides=overrides)
    check_given(config, overrides)
    return config


def import_named_task(overrides: Sequence[str]) -> None:
    """Imports the file of `task.module=FILE`, which registers the schema of its task.

    Raises:
        UserError: if the file was not named on the command line, does not exist or cannot be imported.
    """
    for override in overrides:
        if override.lstrip("+").startswith(f"{TASK}="):
            import_module(Path(module_path(override)), TASK)


def checked(config: DictConfig) -> Config:
    """Resolves the configuration to typed objects and validates every value.

    Raises:
        UserError: for a missing, deleted or invalid value, or an unknown setting (Hydra accepts any `+key=value`).
    """
    for entry in fields(Config):
        if entry.name not in config.keys() and entry.name not in DISABLING_OPTIONS:  # noqa: SIM118, `in` ignores ???
            raise UserError(f"~{entry.name} cannot be used: settings cannot be deleted, set another value")
    with explained():
        set_num_layers(config)
        typed: Any = OmegaConf.to_object(config)
    _check_names(typed)
    expand_home(typed)
    parse_class_weights(typed.task)
    parse_sizes(typed.model)
    parse_sizes(typed.task.recurrent)
    check_ranges(typed)
    check_sizes(typed.model)
    check_combinations(typed)
    unify_sizes(typed.model)
    for group in FREE_GROUPS:
        check_finite(group, getattr(typed, group))
    typed.optimizer = choose_fused(typed.optimizer, typed.trainer)
    return typed


def parse_class_weights(task: Any) -> None:
    """Parses task.class_weights if it is a quoted dictionary, which Hydra needs for names that are not ASCII."""
    given = getattr(task, "class_weights", None)
    if isinstance(given, str) and given.startswith("{"):
        with suppress(yaml.YAMLError):
            task.class_weights = yaml.safe_load(given)


def expand_home(config: Any) -> None:
    """Replaces a leading ~ in the settings that name files and folders, which shells leave as it is after "="."""
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            expand_home(value)
        elif isinstance(value, str) and value.startswith("~") and entry.name.endswith(PATH_NAMES):
            setattr(config, entry.name, str(in_home(value)))


def in_home(path: str) -> Path:
    """Returns a path with a leading ~ replaced by the home folder.

    Raises:
        UserError: if it names a user that does not exist.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path} cannot be used: there is no user of that name, whose home ~ names") from error


def _check_names(config: Any, prefix: str = "") -> None:
    known = [entry.name for entry in fields(config)]
    for name, value in vars(config).items():
        if name not in known:
            raise UserError(no_setting(prefix + name, known))
        if is_dataclass(value):
            _check_names(value, f"{prefix}{name}.")


def changed(task: Any, settings: list[str]) -> Any:
    """Returns a task's settings with some of them changed.

    Args:
        task: the settings.
        settings: changes such as "cache.weight=0.2".

    Raises:
        UserError: for an unknown setting, or a value of the wrong type or out of range.
    """
    own = [setting.removeprefix("task.") for setting in settings]
    for setting in own:
        old = explain_old_name(f"task.{setting.partition('=')[0]}")
        if old:
            raise UserError(old)
    config = OmegaConf.structured(task)
    for setting in own:
        try:
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([setting]))
        except OmegaConfBaseException as error:
            raise UserError(f"task.{setting} cannot be used: {expectation(error)}") from error
    with explained():
        typed: Any = OmegaConf.to_object(config)
    check_ranges(typed, "task.")
    return typed


def flat(tree: Plain, prefix: str = "") -> Plain:
    """Flattens nested settings to a dictionary with dotted names as keys."""
    leaves: Plain = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
