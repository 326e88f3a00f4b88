"""Resuming an interrupted run."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from sluice.callbacks.checkpoints import LAST, PREVIOUS
from sluice.callbacks.training_state import STORED_AS
from sluice.composition.compose import flat, in_home
from sluice.composition.groups import FREE_GROUPS
from sluice.config.fields import MISSING
from sluice.config.renamed import update_settings
from sluice.config.schema import Config
from sluice.errors import UserError
from sluice.optim.changed_settings import accepts_state, can_change, changed_arguments
from sluice.optim.configured import OWN_SETTINGS, ConfiguredSchedule
from sluice.plain import Plain
from sluice.recipes.task import OWN_FILES
from sluice.runs.checkpoint import did_you_mean, read_checkpoint
from sluice.targets.instantiate import factory
from sluice.training.data_checks import has_data_record

log = logging.getLogger(__name__)

NOT_COMPARED = ("name", "resume", "resume_force", "init_from", "paths", "checkpoint", "stop_on_nan", "debug")
"""Settings that may differ between a run's start and its resumption."""
NEVER_CHANGED = {"optimizer._target_": "optimizer", "scheduler._target_": "learning-rate schedule"}
NEVER_CHANGED |= {"task.layer_decay": "factor of the learning rate between layers"}
"""Settings that determine the form of the state in a checkpoint, with their names in messages."""
GROUPS = ("task", "model", "embedding", "trainer", "paths", "checkpoint", "optimizer")
"""Groups of settings."""
NAMED_GROUPS = ("callbacks", "logger")
"""Groups of named entries, each with its own settings."""
RESUME_SETTINGS = ("name", "resume", "resume_force", "init_from")
"""Settings of a single command rather than of the run."""
NOT_COMPARED_IN_TRAINER = ("accelerator", "strategy", "max_time", "profiler")

Difference = tuple[str, object, object]
"""A setting, its value at the start of the run and its value now."""


Shapes = dict[str, tuple[int, ...]]
"""Shapes of the tensors in a state dict, by name."""


class ResumePoint(NamedTuple):
    """A run to resume, with the checkpoint to resume from."""

    folder: Path
    checkpoint: Path
    next_logged_step: int
    finished: bool
    """Whether training has finished and only the test is missing."""
    shapes: Shapes


class AlreadyDone(UserError):
    """The run has finished, including its test; there is nothing left to do."""


def find_run(resume: str, output_dir: Path, task: str, model: str) -> Path:
    """Returns the run folder given by `resume=`.

    Args:
        resume: a folder, its last.ckpt, or "last" for the newest run of this task and model.
        output_dir: the folder of all runs.
        task: name of the task.
        model: name of the model.

    Raises:
        UserError: if there is no such run.
    """
    if resume != "last":
        return resolve_run(resume)
    parent = output_dir / task / model
    runs = [path.parent for path in parent.glob(f"*/{LAST}")]
    if not runs:
        raise UserError(f"resume=last cannot be used: no run in {parent} has a {LAST}; start without resume=")
    return max(runs, key=lambda run: (run / LAST).stat().st_mtime).absolute()


def resolve_run(resume: str) -> Path:
    """Returns the run folder for a path given as `resume=`.

    Raises:
        UserError: if the path is neither a folder nor the last.ckpt in one.
    """
    path = in_home(resume)
    folder = path.parent if path.name == LAST and not path.is_dir() else path
    if folder.is_file():
        raise UserError(
            f"resume={resume} is not a run folder or its {LAST} (only {LAST} contains the training state): give the "
            "folder of a run, or resume=last"
        )
    if not resume or not folder.is_dir():
        expected = f"give the folder of a run, or resume=last{did_you_mean(folder)}"
        raise UserError(f"resume={resume} doesn't exist: {expected}")
    return folder.absolute()


def is_finished(folder: Path) -> bool:
    """Whether a run has finished, including its test."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not results.get("interrupted", False)


def can_resume(folder: Path) -> bool:
    """Whether a run folder has a checkpoint to resume from, intact or not."""
    return (folder / LAST).exists() or (folder / PREVIOUS).exists()


def job_folder(folder: Path, config: Config) -> Path:
    """The folder of this run in its scheduler job; a job may start several runs, distinguished by their settings."""
    number = 1
    while True:
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            if not (candidate / "config.yaml").exists() or not _differing_settings(candidate, config):
                return candidate
        except UserError:
            if not can_resume(candidate) and not is_finished(candidate):
                return candidate  # a job that was killed at its start
            raise
        number += 1


def find_resume_point(folder: Path) -> ResumePoint:
    """Returns the newest intact checkpoint of a run; a corrupted one is logged, and the previous one used.

    Raises:
        UserError: if there is none.
    """
    reason = f"{folder} has no {LAST}"
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            checkpoint = read_checkpoint(path)[1]
            state = checkpoint[STORED_AS]
            step, finished = int(state["next_logged_step"]), bool(state["finished"])
        except UserError as error:
            reason = str(error)
            log.warning("%s: trying the previous checkpoint.", error)
        except (KeyError, TypeError):
            reason = f"{path} contains only weights, runs are resumed from {LAST}"
        else:
            shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
            return ResumePoint(folder, path, step, finished, shapes)
    raise UserError(f"{reason}; there is no other checkpoint to resume from: delete {folder} to use its name again")


def refuse_finished(folder: Path, config: Config) -> NoReturn:
    """Refuses to resume a finished run.

    Raises:
        AlreadyDone: if the settings are unchanged.
        UserError: if they differ, since nothing would be trained with them.
    """
    differing = _differing_settings(folder, config)
    if not differing:
        raise AlreadyDone(f"the run in {folder} is done: its results are in results.json")
    raise UserError(
        f"the run in {folder} is done and cannot be resumed with other settings ({_describe(_decisive(differing))}): "
        f"start a new run from its weights with init_from={folder} instead of resume="
    )


def check_trainable(found: ResumePoint, config: Config, shapes: Shapes) -> None:
    """Refuses a checkpoint that cannot be resumed with these settings, even with `resume_force`.

    Args:
        found: the checkpoint.
        config: the configuration.
        shapes: shapes of the tensors in the LightningModule's state dict.

    Raises:
        UserError: if the checkpoint is of another network, or a finished training would be extended.
    """
    if found.shapes != shapes:
        raise UserError(
            f"the network of these settings and data doesn't match {found.checkpoint}: restore the settings that "
            f"change its size, or start a new run from its weights with init_from={found.folder} instead of resume="
        )
    if not found.finished:
        return
    before = read_stored_config(found.folder)["trainer"]
    longer = [key for key in ("max_epochs", "max_steps") if before.get(key) != config.trainer.get(key)]
    if longer:
        was = f"trainer.{longer[0]}={before.get(longer[0])}"
        raise UserError(
            f"training in {found.folder} has finished and only the test is missing: resume it with {was}, or start a "
            f"new run from its weights with init_from={found.folder}"
        )


def check_same_settings(folder: Path, config: Config) -> None:
    """Refuses settings that differ from those the run was started with, unless `resume_force` is set.

    Raises:
        UserError: naming the settings that differ.
    """
    differing = _differing_settings(folder, config)
    fixed = {key: NEVER_CHANGED[key] for key, *_ in differing if key in NEVER_CHANGED}
    if differing and config.resume_force and not fixed:
        fixed = {key: key for key in _unchangeable_arguments(read_stored_config(folder), config)}
    if fixed and config.resume_force:
        refused = [setting for setting in differing if ".".join(setting[0].split(".")[:2]) in fixed]
        raise UserError(
            f"the run in {folder} cannot be resumed with another {' or '.join(fixed.values())} ({_describe(refused)}): "
            f"restore it, or start a new run from its weights with init_from={folder} instead of resume="
        )
    if differing and not config.resume_force:
        raise UserError(
            f"the run in {folder} was started with other settings: {_describe(_decisive(differing))}; restore them or "
            "add resume_force=true"
        )


def _unchangeable_arguments(before: Plain, config: Config) -> list[str]:
    """Returns the settings of optimizer and schedule that differ and cannot be applied to their restored states."""
    was, now = ({"config": settings} for settings in (before, _as_json(asdict(config))))
    make = factory("optimizer", config.optimizer)
    changes = changed_arguments("optimizer", was, now, make)
    refused: list[str] = []
    if changes and not accepts_state(factory("optimizer", before["optimizer"]), make, changes):
        refused += [f"optimizer.{name}" for name in changes if name != "lr"]
    if config.scheduler:
        schedule = factory("scheduler", config.scheduler, make)
        assert isinstance(schedule, ConfiguredSchedule)
        scheduler = schedule.example(make([nn.Parameter(torch.zeros(1, 1))])).scheduler
        changes = changed_arguments("scheduler", was, now, schedule)
        refused += [
            f"scheduler.{name}"
            for name, (_, new) in changes.items()
            if name not in OWN_SETTINGS and not can_change(scheduler, name, new)
        ]
    return refused


def report_differences(folder: Path, config: Config) -> None:
    """Logs the settings that differ from those a run was started with."""
    before, now = read_stored_config(folder), _as_json(asdict(config))
    differing = [
        difference
        for difference in _without_new_settings(_differences(before, now), before, config)
        if difference[0] not in RESUME_SETTINGS and not difference[0].endswith("run_dir")
    ]
    if differing:
        log.warning("Resuming with changed settings: %s.", _describe(differing))


def _decisive(differing: list[Difference]) -> list[Difference]:
    """Reduces the differences to the task and model if these differ, since nearly all settings then do."""
    return [setting for setting in differing if setting[0] in ("task.name", "model.name")] or differing


def _describe(differing: list[Difference]) -> str:
    return ", ".join(f"{key} was {was!r} and is {after!r}" for key, was, after in differing)


def _differing_settings(folder: Path, config: Config) -> list[Difference]:
    """The compared settings that differ from those a run was started with.

    Settings that didn't exist in the version that wrote the run had their default.

    Raises:
        UserError: if its config.yaml cannot be read.
    """
    before = read_stored_config(folder)
    differing = _differences(_compared(before), _as_json(_compared(asdict(config))))
    own_files = {f"task.{key}" for key in OWN_FILES}
    if any(key in own_files for key, *_ in differing) and has_data_record(folder / LAST):
        differing = [setting for setting in differing if setting[0] not in own_files]  # their contents are compared
    return _without_new_settings(differing, before, config)


def _without_new_settings(differing: list[Difference], before: Plain, config: Config) -> list[Difference]:
    """Leaves out settings that the version which wrote the run didn't have, if they have their default.

    Args:
        differing: settings that differ; those the run doesn't have were None.
        before: the settings of the run.
        config: the configuration now.
    """
    known = flat(before)
    of_task = OmegaConf.to_container(OmegaConf.structured(type(config.task)), resolve=False)
    defaults = flat(_as_json({**asdict(type(config)()), "task": of_task}))
    kept: list[Difference] = []
    for key, was, now in differing:
        if key in known or key.split(".")[0] in FREE_GROUPS:
            kept.append((key, was, now))
            continue
        for name, value in flat({key: now}).items():
            default = defaults.get(name, value)
            if default != value and not str(default).startswith(("${", MISSING)):  # depends on others, or has none
                kept.append((name, default, value))
    return kept


def read_stored_config(folder: Path) -> Plain:
    """Reads the config.yaml of a run.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        before: Any = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        if not isinstance(before, dict) or fields(Config)[-1].name not in before:
            raise ValueError("it is empty or truncated")
        _check_shape(before)
        before = update_settings(before)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{folder}/config.yaml cannot be read: restore it, it contains the run's settings") from error
    return before


def _check_shape(settings: Plain) -> None:
    """Checks the nesting of stored settings.

    Raises:
        ValueError: if a group is not a mapping, or `task.name` is missing.
    """
    groups = {group: settings[group] for group in GROUPS if group in settings}
    named = {f"{group}.{name}": entry for group in NAMED_GROUPS for name, entry in _entries(settings.get(group))}
    for key, value in (groups | named).items():
        if not (isinstance(value, dict) or (key in named and value is None)):
            raise ValueError(f"{key} is not a group of settings")
    if not isinstance(settings.get("task", {}).get("name"), str):
        raise ValueError("task.name is missing")


def _entries(group: object) -> Iterable[tuple[object, object]]:
    """Names and settings of callbacks or loggers."""
    if not isinstance(group, dict | None):
        raise ValueError("callbacks and loggers must be mappings")
    return (group or {}).items()


def _as_json(config: Plain) -> Plain:
    plain: Plain = json.loads(json.dumps(config))
    return plain


def _compared(config: Plain) -> Plain:
    kept = {key: value for key, value in config.items() if key not in NOT_COMPARED}
    trainer = {key: value for key, value in kept.get("trainer", {}).items() if key not in NOT_COMPARED_IN_TRAINER}
    model, task = (
        {key: value for key, value in kept.get(group, {}).items() if key != "module"} for group in ("model", "task")
    )
    schedule = kept.get("scheduler") or {}  # null and scheduler=constant are the same
    return {
        **kept,
        "model": model,
        "task": task,
        "trainer": trainer,
        "scheduler": schedule,
        "callbacks": None,
        "logger": None,
    }


def _differences(before: object, now: object, prefix: str = "") -> list[Difference]:
    """(key, before, now) of each leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            found
            for key in keys
            for found in _differences(before.get(key), now.get(key), f"{prefix}.{key}" if prefix else str(key))
        ]
    return [] if before == now else [(prefix, before, now)]
