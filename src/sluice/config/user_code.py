"""User code: which files may run, and importing them.

A Python file registers a custom cell (`model.module`) or task (`task.module`). It runs only if the command line names
it, as in `model.module=my_cell.py`; worker processes read the names from the environment. A checkpoint or run folder
stores the path and hash of the file for comparison only.
"""

import hashlib
import importlib
import importlib.util
import json
import logging
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sluice.errors import UserError

log = logging.getLogger(__name__)

CELL, TASK = "model.module", "task.module"
"""Settings that name a Python file which registers a cell or a task."""
REGISTERS = {CELL: "cell", TASK: "task"}
MODULES, CHANGED_ALLOWED = "SLUICE_MODULES", "SLUICE_ALLOW_CHANGED_CODE"
"""Environment variables: a JSON list of SETTING=FILE with the files named on the command line; "1" if they may differ
from those used in training."""
CHECKSUMS = {CELL: "module_checksum", TASK: "task_module_checksum"}
"""Checkpoint keys of the SHA-256 of these files."""
KEPT_SOURCES = {CELL: "model_module.py", TASK: "task_module.py"}
"""Copies of these files in the run folder."""
ENTRY_POINTS = "sluice.recipes"
LIBRARIES = ("sluice.", "torch.optim.", "torchmetrics.", "pytorch_lightning.", "lightning.pytorch.")
"""Packages whose classes stored settings may name."""
EXPECTED = {
    "optimizer": "torch.optim.optimizer.Optimizer",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "trainer": "pytorch_lightning.trainer.trainer.Trainer",
    "callbacks": "pytorch_lightning.callbacks.callback.Callback",
    "logger": "pytorch_lightning.loggers.logger.Logger",
}
"""Base class of the target of each group."""
SCHEDULES = "sluice.optim.schedules"
"""Module whose functions are also targets of `scheduler`."""


def allow_module(path: Path, setting: str = CELL) -> None:
    """Allows this process and its workers to run a Python file that the command line named.

    Args:
        path: the file.
        setting: "model.module" or "task.module".
    """
    named = [*_entries(), f"{setting}={path.absolute()}"]
    os.environ[MODULES] = json.dumps(list(dict.fromkeys(named)))


def allow_named(arguments: Sequence[str]) -> None:
    """Allows the files that a command line names with `model.module=FILE` or `task.module=FILE` to run."""
    for argument in arguments:
        for setting in (CELL, TASK):
            if argument.lstrip("+").startswith(f"{setting}="):
                allow_module(Path(module_path(argument)), setting)


def module_path(argument: str) -> str:
    """The path in `SETTING=PATH`, without the quotes that Hydra requires around some characters."""
    path = argument.partition("=")[2]
    return path[1:-1] if len(path) > 1 and path[0] == path[-1] and path[0] in "\"'" else path


def allow_changed_code() -> None:
    """Allows the named files to differ from those used in training."""
    os.environ[CHANGED_ALLOWED] = "1"


def add_working_directory() -> None:
    """Makes modules in the working directory importable, so that `_target_` may name them.

    For training only, which takes its targets from the command line and the configuration files; commands that read a
    checkpoint don't call this. The directory comes last, so that its files hide no installed module.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)


def is_allowed(path: Path, setting: str = CELL) -> bool:
    """Returns whether the command line named this file."""
    return str(path.absolute()) in _named(setting)


def checksum_of(module: str | None) -> str | None:
    """The SHA-256 of a Python file, as stored in checkpoints; None for no file."""
    return None if module is None else hashlib.sha256(Path(module).read_bytes()).hexdigest()


def module_of_checkpoint(checkpoint: Path, stored: str, checksum: str | None, setting: str = CELL) -> str:
    """Finds the Python file that a checkpoint needs among those named on the command line.

    Args:
        checkpoint: path for error messages.
        stored: path of the file in training.
        checksum: SHA-256 of the file in training; None in checkpoints of earlier versions.
        setting: "model.module" or "task.module".

    Raises:
        UserError: if the command line named no file, several, or one with other content.
    """
    named = _named(setting)
    path = str(Path(stored).absolute())
    if path not in named:
        same = [own for own in named if Path(own).is_file() and checksum_of(own) == checksum]
        if not same and len(named) != 1:
            raise UserError(
                f"{checkpoint} has a custom {REGISTERS[setting]} from {stored}: add {setting}={stored} to the command "
                "line to allow that file to run; a checkpoint alone never runs code"
            )
        path = (same or named)[0]
    check_unchanged(checkpoint, path, checksum, setting)
    return path


def keep_source(module: str | None, folder: Path, setting: str = CELL) -> None:
    """Copies a Python file to the run folder for reference; it never runs from there.

    Args:
        module: the file; None for none.
        folder: the run folder.
        setting: "model.module" or "task.module".
    """
    if module is not None:
        (folder / KEPT_SOURCES[setting]).write_bytes(Path(module).read_bytes())


def check_unchanged(checkpoint: Path, module: str, checksum: str | None, setting: str = CELL) -> None:
    """Compares a Python file with the one used in training.

    Args:
        checkpoint: path for error messages.
        module: the file.
        checksum: SHA-256 of the file in training; None if unknown.
        setting: "model.module" or "task.module".

    Raises:
        UserError: if the file does not exist, or differs and the command line does not allow that.
    """
    if not Path(module).is_file():
        raise UserError(f"{setting}={module} does not exist: name the file that registers the {REGISTERS[setting]}")
    if checksum in (None, checksum_of(module)) or os.environ.get(CHANGED_ALLOWED) == "1":
        return
    raise UserError(
        f"{setting}={module} is not the file that {checkpoint} was trained with: restore it, or add "
        "--allow-changed-code (resume_force=true to resume)"
    )


def import_module(path: Path, setting: str = CELL) -> None:
    """Imports a Python file that registers a cell or a task; a second call for the same file does nothing.

    Args:
        path: the file.
        setting: "model.module" or "task.module".

    Raises:
        UserError: if the command line did not name the file, or it does not exist or cannot be imported.
    """
    path = path.absolute()
    if not is_allowed(path, setting):
        raise UserError(
            f"{setting}={path} may not run: user code runs only if the command line names it; add {setting}={path}"
        )
    name = f"sluice_user_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{setting}={path} {problem}: name the file that registers the {REGISTERS[setting]}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{setting}={path} cannot be imported: it must be a Python file, ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's: anything may go wrong in it
        del sys.modules[name]
        reason = " ".join(str(error).split())
        raise UserError(f"{setting}={path} cannot be imported: {type(error).__name__}: {reason}") from error
    with suppress(ImportError):  # a job of submitit's gets the configuration pickled, before it has imported the file
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)


@cache
def load_installed_recipes() -> None:
    """Imports the tasks of installed packages, entry points of the group `sluice.recipes`.

    A task that cannot be imported is skipped with a warning.
    """
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:  # another package's code: anything may go wrong in it
            log.warning(
                "The installed task %s (%s) cannot be imported: %s: %s",
                point.name,
                point.value,
                type(error).__name__,
                error,
            )


def target_problem(group: str, value: object) -> str | None:
    """Explains why stored settings of a group may not be used: a `_target_` from outside the known libraries.

    Args:
        group: the top-level group.
        value: settings at any depth, or the value of a `_target_`.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            problem = _problem(group, part) if str(key) == "_target_" else target_problem(group, part)
            if problem:
                return problem
    if isinstance(value, list | tuple):
        return next((problem for part in value if (problem := target_problem(group, part))), None)
    return None


def _problem(group: str, target: object) -> str | None:
    """Explains why a target may not be used, without importing anything outside the known libraries."""
    if not isinstance(target, str) or not target.startswith(LIBRARIES):
        return f"{target} is code from outside Sluice"
    module, _, name = target.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return f"there is no {target}"
    origin = f"{getattr(found, '__module__', '')}."
    if group == "scheduler" and origin == f"{SCHEDULES}." and callable(found):
        return None
    expected = EXPECTED.get(group)
    if expected is None:
        return f"{group} takes no class"
    expected_module, _, expected_name = expected.rpartition(".")
    kind = getattr(importlib.import_module(expected_module), expected_name)
    if isinstance(found, type) and issubclass(found, kind) and origin.startswith(LIBRARIES):
        return None
    return f"{target} is not a subclass of {expected_name}"


def _named(setting: str) -> list[str]:
    """The files that the command line names for a setting."""
    return [entry.partition("=")[2] for entry in _entries() if entry.startswith(f"{setting}=")]


def _entries() -> list[str]:
    entries: list[str] = json.loads(os.environ.get(MODULES) or "[]")
    return entries
