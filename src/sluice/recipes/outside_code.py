"""Which code from outside Sluice may run: what the command line names, never what a checkpoint or run folder names.

A user-defined cell is registered by a Python file, `model.module`. The command line names it, as in
`model.module=my_cell.py`; worker processes get that from the environment. A checkpoint stores the file's name and hash
for comparison only.
"""

import hashlib
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluice.errors import UserError

MODULES, CHANGED_ALLOWED = "SLUICE_MODULES", "SLUICE_ALLOW_CHANGED_CODE"
"""Environment variables: files that the command line named; "1" where they need not be those of the training."""
KEPT_SOURCE = "model_module.py"
"""In a run's folder: the file of its cell as it was."""
LIBRARIES = ("sluice.", "torch.optim.", "torchmetrics.", "pytorch_lightning.", "lightning.pytorch.")
"""Where a class may lie that stored settings name."""
EXPECTED = {
    "optimizer": "torch.optim.optimizer.Optimizer",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "trainer": "pytorch_lightning.trainer.trainer.Trainer",
    "callbacks": "pytorch_lightning.callbacks.callback.Callback",
    "logger": "pytorch_lightning.loggers.logger.Logger",
}
"""The class of which a group's target must be a kind."""
SCHEDULES = "sluice.optim.schedules"
"""Its functions are targets of `scheduler` too."""


def allow_module(path: Path) -> None:
    """Lets this process and its workers run a Python file: the command line named it."""
    named = [*_named(), str(path.absolute())]
    os.environ[MODULES] = os.pathsep.join(dict.fromkeys(named))


def allow_changed_code() -> None:
    """Lets the file of a cell be another one than that of the training: the command line said so."""
    os.environ[CHANGED_ALLOWED] = "1"


def is_allowed(path: Path) -> bool:
    """Whether the command line named this file."""
    return str(path.absolute()) in _named()


def checksum_of(module: str | None) -> str | None:
    """The SHA-256 of a cell's file, None where there is none; what a checkpoint stores of it."""
    return None if module is None else hashlib.sha256(Path(module).read_bytes()).hexdigest()


def module_of_checkpoint(checkpoint: Path, stored: str, checksum: str | None) -> str:
    """The file of a cell that a checkpoint needs, as the command line named it.

    Args:
        checkpoint: for the messages.
        stored: the file's path at training.
        checksum: the file's SHA-256 at training; None in checkpoints of earlier versions.

    Raises:
        UserError: if the command line named no file, more than one, or one with other content.
    """
    named = _named()
    path = str(Path(stored).absolute())
    if path not in named:
        if len(named) != 1:
            raise UserError(
                f"{checkpoint} has a cell of your own, from {stored}: add model.module={stored} to the command line "
                "to run that file; a checkpoint alone never runs code"
            )
        path = named[0]
    check_unchanged(checkpoint, path, checksum)
    return path


def keep_source(module: str | None, folder: Path) -> None:
    """Copies the file of a cell into the run's folder, to be read; it is never run from there."""
    if module is not None:
        (folder / KEPT_SOURCE).write_bytes(Path(module).read_bytes())


def check_unchanged(checkpoint: Path, module: str, checksum: str | None) -> None:
    """
    Raises:
        UserError: if the file of a cell isn't there, or isn't that of the training and the command line doesn't say
            that it may have changed.
    """
    if not Path(module).is_file():
        raise UserError(f"model.module={module} isn't there: give the Python file that registers the cell")
    if checksum in (None, checksum_of(module)) or os.environ.get(CHANGED_ALLOWED) == "1":
        return
    raise UserError(
        f"model.module={module} is not the file that {checkpoint} was trained with: restore it, or add "
        "--allow-changed-code (resume_force=true to resume)"
    )


def target_problem(group: str, value: Any) -> str | None:
    """Why stored settings of a group may not be used, None if they may: every `_target_` must be a library's own.

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


def _problem(group: str, target: Any) -> str | None:
    """Why a target may not be used; nothing outside the libraries is imported to find out."""
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


def _named() -> list[str]:
    return [path for path in os.environ.get(MODULES, "").split(os.pathsep) if path]
