"""Resuming a run that was stopped, wherever it was."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from sluice.callbacks.checkpoints import LAST, PREVIOUS
from sluice.callbacks.training_state import STORED_AS
from sluice.config.compose import flat
from sluice.config.errors import FREE_GROUPS
from sluice.config.renamed import update_settings
from sluice.config.schema import Config
from sluice.errors import UserError
from sluice.plain import Plain
from sluice.recipes.task import OWN_FILES
from sluice.runs.checkpoint import read_checkpoint
from sluice.training.data_checks import has_data_record

log = logging.getLogger(__name__)

NOT_COMPARED = ("name", "resume", "resume_force", "init_from", "paths", "checkpoint", "stop_on_nan", "debug")
"""Settings that may differ between a run's start and its resumption."""
NEVER_CHANGED = {"optimizer._target_": "optimizer", "scheduler._target_": "learning-rate schedule"}
"""Settings whose state a checkpoint holds in a form that no other value can take over, and what they choose."""
GROUPS, NAMED_GROUPS = (
    ("task", "model", "embedding", "trainer", "paths", "checkpoint", "optimizer"),
    ("callbacks", "logger"),
)
"""Groups of settings, and groups whose entries have names of their own."""
RESUME_SETTINGS = ("name", "resume", "resume_force", "init_from")
"""Settings that belong to one command, not to the run."""
NOT_COMPARED_IN_TRAINER = ("accelerator", "strategy", "max_time")

Difference = tuple[str, object, object]
"""A setting, what it was and what it is."""


Shapes = dict[str, tuple[int, ...]]
"""Of the tensors in a state dict, by name."""


class ResumePoint(NamedTuple):
    """A run to resume."""

    folder: Path
    checkpoint: Path
    next_logged_step: int
    finished: bool
    """Whether its training has ended, its test not."""
    shapes: Shapes


class AlreadyDone(UserError):
    """The run has ended; there is nothing left to do."""


def find_run(wanted: str, output_dir: Path, task: str, model: str) -> Path:
    """The folder that `resume=` names: a folder, its last.ckpt, or "last" for the newest run of this task and model.

    Raises:
        UserError: if there is none.
    """
    if wanted != "last":
        return resolve_run(wanted)
    parent = output_dir / task / model
    runs = [path.parent for path in parent.glob(f"*/{LAST}")]
    if not runs:
        raise UserError(f"resume=last finds no run with a {LAST} in {parent}: start without resume")
    return max(runs, key=lambda run: (run / LAST).stat().st_mtime).absolute()


def resolve_run(wanted: str) -> Path:
    """The folder that a path given as `resume=` means.

    Raises:
        UserError: if it is neither a folder nor the last.ckpt of one.
    """
    path = Path(wanted)
    folder = path.parent if path.name == LAST and not path.is_dir() else path
    if folder.is_file():
        raise UserError(
            f"resume={wanted} is not the folder of a run or its {LAST}: only {LAST} holds the training state; give the "
            "folder of a run, or resume=last"
        )
    if not wanted or not folder.is_dir():
        raise UserError(f"resume={wanted} isn't there: give the folder of a run, or resume=last")
    return folder.absolute()


def is_finished(folder: Path) -> bool:
    """Whether a run came to its end, its test included."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not results.get("interrupted", False)


def can_resume(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from, sound or not."""
    return (folder / LAST).exists() or (folder / PREVIOUS).exists()


def job_folder(folder: Path, config: Config) -> Path:
    """The folder of this run among those of its job: a batch script may start several, told apart by their settings."""
    number = 1
    while True:
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            if not (candidate / "config.yaml").exists() or not _differing_settings(candidate, config):
                return candidate
        except UserError:
            if not can_resume(candidate) and not is_finished(candidate):
                return candidate  # a job that was killed while it began
            raise
        number += 1


def find_resume_point(folder: Path) -> ResumePoint:
    """The newest sound checkpoint of a run; a damaged one is reported, and the one before it taken.

    Raises:
        UserError: if there is none.
    """
    reason = f"{folder} holds no {LAST}"
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
            log.warning("%s: looking for the checkpoint before it.", error)
        except (KeyError, TypeError):
            reason = f"{path} holds weights only: a run is resumed from its {LAST}"
        else:
            shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
            return ResumePoint(folder, path, step, finished, shapes)
    raise UserError(f"{reason}; there is no other checkpoint to resume: delete {folder} to use its name again")


def refuse_finished(folder: Path, config: Config) -> NoReturn:
    """What is answered where the run to resume has ended.

    Raises:
        AlreadyDone: if the settings are those it had.
        UserError: if they are not, since nothing would be trained with them.
    """
    differing = _differing_settings(folder, config)
    if not differing:
        raise AlreadyDone(f"the run in {folder} is done: its results are in results.json")
    raise UserError(
        f"the run in {folder} is done and cannot be resumed with other settings ({_describe(_decisive(differing))}): "
        f"start a new run from its weights with init_from={folder} instead of resume="
    )


def check_trainable(found: ResumePoint, config: Config, shapes: Shapes) -> None:
    """Refuses what a checkpoint cannot take up, whether forced or not.

    Args:
        found: the checkpoint.
        config: the configuration.
        shapes: of the tensors to be trained.

    Raises:
        UserError: if the checkpoint is of another network, or a training that has ended is to be lengthened.
    """
    if found.shapes != shapes:
        raise UserError(
            f"the network of these settings and data is not the one in {found.checkpoint}: set back what changes "
            f"its size, or start a new run from its weights with init_from={found.folder} in place of resume="
        )
    if not found.finished:
        return
    before = read_stored_config(found.folder)["trainer"]
    longer = [key for key in ("max_epochs", "max_steps") if before.get(key) != config.trainer.get(key)]
    if longer:
        was = f"trainer.{longer[0]}={before.get(longer[0])}"
        raise UserError(
            f"the training in {found.folder} has ended and only its test is missing: resume it with {was}, or start a "
            f"new run from its weights with init_from={found.folder}"
        )


def check_same_settings(folder: Path, config: Config) -> None:
    """Refuses other settings than the run began with, of those that matter, unless resume_force says so.

    Raises:
        UserError: naming what differs.
    """
    differing = _differing_settings(folder, config)
    fixed = [setting for setting in differing if setting[0] in NEVER_CHANGED]
    if fixed and config.resume_force:
        what = " or ".join(NEVER_CHANGED[key] for key, *_ in fixed)
        raise UserError(
            f"the run in {folder} cannot be resumed with another {what} ({_describe(fixed)}): set it back, or start a "
            f"new run from its weights with init_from={folder} in place of resume="
        )
    if differing and not config.resume_force:
        raise UserError(
            f"the run in {folder} had other settings: {_describe(_decisive(differing))}; set them back or add "
            "resume_force=true"
        )


def report_differences(folder: Path, config: Config) -> None:
    """Logs every setting that differs from those a run began with, but for those that say how it is resumed."""
    before, now = read_stored_config(folder), _as_json(asdict(config))
    differing = [
        difference
        for difference in _without_new_settings(_differences(before, now), before)
        if difference[0] not in RESUME_SETTINGS and not difference[0].endswith("run_dir")
    ]
    if differing:
        log.warning("Going on with other settings: %s.", _describe(differing))


def _decisive(differing: list[Difference]) -> list[Difference]:
    """Of another task or model nearly everything differs; these two say it all."""
    return [setting for setting in differing if setting[0] in ("task.name", "model.name")] or differing


def _describe(differing: list[Difference]) -> str:
    return ", ".join(f"{key} was {was!r} and is {after!r}" for key, was, after in differing)


def _differing_settings(folder: Path, config: Config) -> list[Difference]:
    """Every setting that matters and differs from those a run began with.

    A setting that the version which wrote the run didn't have yet is not counted, but in the groups without a schema.

    Raises:
        UserError: if its config.yaml cannot be read.
    """
    before = read_stored_config(folder)
    differing = _differences(_compared(before), _as_json(_compared(asdict(config))))
    own_files = {f"task.{key}" for key in OWN_FILES}
    if any(key in own_files for key, *_ in differing) and has_data_record(folder / LAST):
        differing = [one for one in differing if one[0] not in own_files]  # their content is compared instead
    return _without_new_settings(differing, before)


def _without_new_settings(differing: list[Difference], before: Plain) -> list[Difference]:
    known = flat(before)
    return [setting for setting in differing if setting[0] in known or setting[0].split(".")[0] in FREE_GROUPS]


def read_stored_config(folder: Path) -> Plain:
    """What a run's config.yaml holds.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        before: Any = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        if not isinstance(before, dict) or fields(Config)[-1].name not in before:
            raise ValueError("it is empty or cut short")
        _check_shape(before)
        before = update_settings(before)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{folder}/config.yaml cannot be read: it says what the run was, put it back") from error
    return before


def _check_shape(settings: Plain) -> None:
    """
    Raises:
        ValueError: if settings are nested otherwise than any run writes them.
    """
    groups = {group: settings[group] for group in GROUPS if group in settings}
    named = {f"{group}.{name}": entry for group in NAMED_GROUPS for name, entry in _entries(settings.get(group))}
    for key, value in (groups | named).items():
        if not (isinstance(value, dict) or (key in named and value is None)):
            raise ValueError(f"{key} is no group of settings")
    if not isinstance(settings.get("task", {}).get("name"), str):
        raise ValueError("task.name is missing")


def _entries(group: object) -> Iterable[tuple[object, object]]:
    """Names and settings of the callbacks or loggers."""
    if not isinstance(group, dict | None):
        raise ValueError("callbacks and loggers have names")
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
    """(key, before, now) of every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            found
            for key in keys
            for found in _differences(before.get(key), now.get(key), f"{prefix}.{key}" if prefix else str(key))
        ]
    return [] if before == now else [(prefix, before, now)]
