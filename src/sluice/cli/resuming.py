"""Going on with a run that was stopped, wherever it was."""

import json
import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sluice.callbacks.checkpoints import LAST, PREVIOUS
from sluice.cli.families.base import OWN_FILES
from sluice.cli.run_data import has_data_record
from sluice.cli.saved import read_checkpoint
from sluice.cli.schema import Config
from sluice.errors import UserError

log = logging.getLogger(__name__)

NOT_COMPARED = ("name", "resume", "resume_force", "init_from", "paths", "checkpoint")
"""Settings that may differ between a run and its going on."""
NOT_COMPARED_OF_TRAINER = ("accelerator", "strategy", "max_time")


class Resumed(NamedTuple):
    """A run to go on with."""

    folder: Path
    checkpoint: Path
    next_logged_step: int


def find_run(wanted: str, output_dir: Path, task: str, model: str) -> Path:
    """The folder that `resume=` names: a folder, or "last" for the newest run of this task and model.

    Raises:
        UserError: if there is none.
    """
    if wanted != "last":
        folder = Path(wanted)
        if not folder.is_dir():
            raise UserError(f"resume={wanted} isn't there: give the folder of a run, or resume=last")
        return folder.absolute()
    parent = output_dir / task / model
    runs = [path.parent for path in parent.glob(f"*/{LAST}")]
    if not runs:
        raise UserError(f"resume=last finds no run with a {LAST} in {parent}: start without resume")
    return max(runs, key=lambda run: (run / LAST).stat().st_mtime).absolute()


def is_done(folder: Path) -> bool:
    """Whether a run came to its end, its test included."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not results.get("interrupted", False)


def can_go_on(folder: Path) -> bool:
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
            if not can_go_on(candidate) and not is_done(candidate):
                return candidate  # a job that was killed while it began
            raise
        number += 1


def resumed(folder: Path) -> Resumed:
    """The newest sound checkpoint of a run; a damaged one is said, and the one before it taken.

    Raises:
        UserError: if there is none.
    """
    reason = f"{folder} holds no {LAST}: there is nothing to go on from"
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            checkpoint = read_checkpoint(path)[1]
            step = int(checkpoint["moment"]["next_logged_step"])
        except UserError as error:
            reason = str(error)
            log.warning("%s: looking for the checkpoint before it.", error)
        except (KeyError, TypeError):
            reason = f"{path} holds weights only: a run goes on from its {LAST}"
        else:
            return Resumed(folder, path, step)
    raise UserError(reason)


def check_same(folder: Path, config: Config) -> None:
    """Refuses to go on with other settings than the run began with, unless resume_force says so.

    Raises:
        UserError: naming what differs.
    """
    differing = _differing_settings(folder, config)
    if not differing:
        return
    decisive = [setting for setting in differing if setting[0] in ("task.name", "model.name")]
    if not config.resume_force:
        told = _told(decisive or differing)  # of another task nearly everything differs
        raise UserError(f"the run in {folder} had other settings: {told}; set them back or add resume_force=true")
    log.warning("Going on with other settings: %s.", _told(differing))


def _told(differing: list[tuple[str, Any, Any]]) -> str:
    return ", ".join(f"{key} was {was!r} and is {is_!r}" for key, was, is_ in differing)


def _differing_settings(folder: Path, config: Config) -> list[tuple[str, Any, Any]]:
    """(key, before, now) of every setting that differs from those a run began with.

    Raises:
        UserError: if its config.yaml cannot be read.
    """
    try:
        before: Any = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        if not isinstance(before, dict) or fields(Config)[-1].name not in before:
            raise ValueError("it is empty or cut short")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{folder}/config.yaml cannot be read: it says what the run was, put it back") from error
    differing = _differences(_compared(before), json.loads(json.dumps(_compared(asdict(config)))))
    own_files = {f"task.{key}" for key in OWN_FILES}
    if any(key in own_files for key, *_ in differing) and has_data_record(folder / LAST):
        return [one for one in differing if one[0] not in own_files]  # their content is compared instead
    return differing


def _compared(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in NOT_COMPARED}
    trainer = {key: value for key, value in kept["trainer"].items() if key not in NOT_COMPARED_OF_TRAINER}
    return {**kept, "trainer": trainer, "callbacks": None, "logger": None}


def _differences(before: Any, now: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(key, before, now) of every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            found
            for key in keys
            for found in _differences(before.get(key), now.get(key), f"{prefix}.{key}" if prefix else str(key))
        ]
    return [] if before == now else [(prefix, before, now)]
