"""A run's folder: its name, what lies in it, and how a finished one is found again."""

import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path

import torch

from sluice.errors import UserError

NAME_PUNCTUATION = "._-+@,:%"
"""What the name of a run's folder may have in it but letters and digits."""
AGREEMENT_SECONDS = 300
"""How long the ranks that torchrun started wait for the first one's word."""


def run_name(chosen: str | None, *, sample: bool, sweep_number: int | None = None) -> str:
    """The name of a run's folder.

    The chosen one; else the scheduler's job id, so that a requeued job finds itself; else the time and a random
    suffix, so that two runs started in the same second don't meet. A run on generated texts says so.

    Raises:
        UserError: if the chosen name holds a character that folder names shouldn't.
    """
    if chosen is not None:
        _check_folder_name("name", chosen)
    name = chosen or job_id()
    if name is None:
        name = rank_zero_value(f"run {sweep_number}", f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}")
    elif sweep_number is not None:
        name = f"{name}-{sweep_number}"
    return f"sample-{name}" if sample and not name.startswith("sample-") else name


LEFTOVERS = ("error*.txt",)
"""What an earlier attempt leaves that must not outlast the next one."""
RUN_FILES = (
    *("events.out.tfevents.*", "metrics.csv", "results.json", "best.ckpt", "epoch-*.ckpt", "recent-*.ckpt"),
    *("config.yaml", "overrides.yaml", "launch.yaml", "splits.npz", "model_module.py", "task_module.py"),
)
"""What belongs to one training from its first step on."""


def clear_run_folder(folder: Path, *, resumes: bool) -> None:
    """Removes what an earlier attempt left; where nothing is resumed, everything of it but the log."""
    for pattern in LEFTOVERS if resumes else (*LEFTOVERS, *RUN_FILES):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def run_folder(output_dir: Path, task: str, model: str, name: str) -> Path:
    """outputs/<task>/<model>/<name>, not made yet.

    Raises:
        UserError: if a part cannot be the name of a folder.
    """
    for key, value in (("task.name", task), ("model.name", model)):
        _check_folder_name(key, value)
    return (output_dir / task / model / name).absolute()


def create_run_folder(folder: Path) -> Path:
    """Makes a run's folder where there is none.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"the run's folder {folder} cannot be made ({reason}): set paths.output_dir") from error
    return folder


def rank_zero_value(question: str, proposal: str) -> str:
    """The first rank's answer to a question, on every rank that torchrun started; the own proposal elsewhere.

    Raises:
        UserError: if the first rank doesn't say its own in time.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return proposal
    try:
        store = torch.distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=AGREEMENT_SECONDS),
        )
        key = f"sluice/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{question}"
        if os.environ["RANK"] == "0":
            store.set(key, proposal)
        return store.get(key).decode()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the ranks could not agree on the run's name within {AGREEMENT_SECONDS} s: give one with name="
        ) from error


def _check_folder_name(key: str, name: str) -> None:
    """A name that needs no quoting in a shell, looks like no option, and is the same in every tool that reads it.

    Raises:
        UserError: for any other.
    """
    wrong = next((char for char in name if not (char.isalnum() or char in NAME_PUNCTUATION)), None)
    if wrong is not None:
        raise UserError(
            f"{key}={name!r} cannot be used: {wrong!r} cannot be in the name of a folder; use letters, digits and "
            f"{' '.join(NAME_PUNCTUATION)}"
        )
    if name in ("", ".", "..") or name.startswith("-"):
        raise UserError(f"{key}={name!r} cannot be used: the name of a folder must begin with a letter or digit")


def job_id() -> str | None:
    """What the scheduler calls this job, None outside one."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID") or _torchrun_id()


def _torchrun_id() -> str | None:
    given = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if given in (None, "none") else given
