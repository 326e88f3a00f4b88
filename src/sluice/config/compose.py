"""From a command line to a checked Config, and from a saved run back to one."""

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sluice.config.common import TaskSettings
from sluice.config.errors import explain, explained, no_setting
from sluice.config.fused_optimizer import choose_fused
from sluice.config.renamed import update_settings
from sluice.config.schema import TASK_SCHEMAS, Config, check_ranges, find_schema, register_schemas
from sluice.config.user_code import TASK, import_module, module_path
from sluice.errors import UserError
from sluice.plain import Plain

BATCH_SIZE, GLOBAL_BATCH_SIZE = "task.data.batch_size", "task.data.global_batch_size"


def find_conf() -> Path:
    """The configuration folder for commands other than train.py: ./conf, else the checkout this package lies in.

    Raises:
        UserError: if there is none.
    """
    for folder in (Path.cwd() / "conf", Path(__file__).resolve().parents[3] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError("there is no conf/config.yaml here: run the command in Sluice's own folder")


def compose_config(overrides: list[str], conf: Path) -> DictConfig:
    """Composes the configuration without starting a Hydra application.

    Raises:
        UserError: for an override that doesn't fit.
    """
    import_named_task(overrides)
    register_schemas()
    with explained(), initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("config", overrides=overrides)
    check_batch_size(config, overrides)
    return config


def check_batch_size(config: DictConfig, overrides: Sequence[str]) -> None:
    """
    Raises:
        UserError: if the command line sets the batch size of a rank, and that of all ranks is set too.
    """
    total = OmegaConf.select(config, GLOBAL_BATCH_SIZE, throw_on_missing=False)
    if total is not None and any(override.lstrip("+").startswith(f"{BATCH_SIZE}=") for override in overrides):
        raise UserError(f"{BATCH_SIZE} and {GLOBAL_BATCH_SIZE}={total} exclude each other: set one of them")


def import_named_task(overrides: Sequence[str]) -> None:
    """Imports the file that `task.module=FILE` names, so that its task can be composed.

    Raises:
        UserError: if the command line didn't name it, it isn't there or cannot be imported.
    """
    for override in overrides:
        if override.lstrip("+").startswith(f"{TASK}="):
            import_module(Path(module_path(override)), TASK)


def with_registered_type(task: DictConfig) -> DictConfig:
    """A task's settings with the registered class of that name: a job of submitit's unpickles a copy of the class."""
    own: Any = OmegaConf.get_type(task)
    schemas = list(TASK_SCHEMAS.values())
    name = (own.__module__, own.__qualname__)
    registered = next((schema for schema in schemas if (schema.__module__, schema.__qualname__) == name), None)
    if own in schemas or registered is None:
        return task
    plain = OmegaConf.to_container(task, resolve=False)
    return OmegaConf.merge(OmegaConf.structured(registered), plain)  # type: ignore[return-value]


def checked(config: DictConfig) -> Config:
    """The configuration as typed, resolved objects, every value in its range.

    Raises:
        UserError: for a missing or wrong value, or a setting that doesn't exist (`+key=value` gets past Hydra).
    """
    with explained():
        typed: Any = OmegaConf.to_object(config)
    _check_names(typed)
    check_ranges(typed)
    typed.optimizer = choose_fused(typed.optimizer, typed.trainer)
    return typed


def _check_names(config: Any, prefix: str = "") -> None:
    known = [entry.name for entry in fields(config)]
    for name, value in vars(config).items():
        if name not in known:
            raise UserError(no_setting(prefix + name, known))
        if is_dataclass(value):
            _check_names(value, f"{prefix}{name}.")


def restored(plain: Plain, schema: str) -> Config:
    """The Config that was saved as plain containers with a run.

    Raises:
        UserError: if it belongs to a task this command doesn't know or doesn't fit this version.
    """
    config: Any = OmegaConf.to_object(with_schema(plain, schema))
    return config


def _literal(stored: Any) -> Any:
    """Stored settings with interpolations escaped: they were resolved when they were stored, and are not again."""
    if isinstance(stored, dict):
        return {key: _literal(value) for key, value in stored.items()}
    if isinstance(stored, list):
        return [_literal(value) for value in stored]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", stored) if isinstance(stored, str) else stored


def with_schema(plain: Plain, schema: str) -> DictConfig:
    """The same with types, not yet turned into objects.

    Raises:
        UserError: as `restored`.
    """
    task_schema = find_schema(schema)
    if task_schema is None:
        raise UserError(f"the checkpoint is of a task of kind {schema!r}, expected one of {', '.join(TASK_SCHEMAS)}")
    try:
        literal = _literal(update_settings(plain))
        task = OmegaConf.merge(OmegaConf.structured(task_schema), literal.pop("task"))
        return OmegaConf.merge(OmegaConf.structured(Config(task=cast(TaskSettings, task))), literal)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(
            f"the checkpoint's configuration doesn't fit this version of Sluice: {explain(error)}"
        ) from error


def changed(task: Any, settings: list[str]) -> Any:
    """A task's settings with some of them changed, as in ["cache.weight=0.2"].

    Raises:
        UserError: if there is no such setting, or a value is of another kind or out of range.
    """
    with explained():
        own = [setting.removeprefix("task.") for setting in settings]
        typed: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(task), OmegaConf.from_dotlist(own)))
    check_ranges(typed, "task.")
    return typed


def flat(tree: Plain, prefix: str = "") -> Plain:
    """Nested settings as one dictionary, by their dotted names."""
    leaves: Plain = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
