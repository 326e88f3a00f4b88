"""Naming, creating and clearing run folders."""

import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path

import torch

from sluice.errors import UserError, reason_of

NAME_PUNCTUATION = "._-+@,:%"
"""Characters allowed in the name of a run folder besides alphanumeric ones."""
MAX_NAME_BYTES = 200
"""File systems allow 255, with the prefix and suffix of a run folder."""
AGREEMENT_SECONDS = 300
"""Seconds for which the ranks started by torchrun wait for rank 0."""


def run_name(chosen: str | None, *, sample: bool, sweep_number: int | None = None) -> str:
    """Returns the name of a run folder.

    This is the chosen name, else the scheduler's job id, so that a requeued job finds its run, else the time with a
    random suffix, so that runs started in the same second differ. Runs on generated data have the prefix "sample-".

    Args:
        chosen: the setting `name`; None if it is not set.
        sample: whether the data are the generated sample.
        sweep_number: the run's number in a sweep, from 1 on; None outside a sweep.

    Raises:
        UserError: if the chosen name has an invalid character.
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
"""Files of an earlier attempt that are removed when a run is resumed."""
RUN_FILES = (
    *("events.out.tfevents.*", "metrics.csv", "results.json", "best.ckpt", "epoch-*.ckpt", "recent-*.ckpt"),
    *("config.yaml", "overrides.yaml", "launch.yaml", "splits.npz", "model_module.py", "task_module.py"),
    *("mlflow_run_id.txt", "wandb_run_id.txt"),
)
"""Files of an earlier attempt that are also removed when a run starts anew."""


def clear_run_folder(folder: Path, *, resumes: bool) -> None:
    """Removes files of an earlier attempt: error reports when resuming, otherwise everything but the log."""
    for pattern in LEFTOVERS if resumes else (*LEFTOVERS, *RUN_FILES):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def run_folder(output_dir: Path, task: str, model: str, name: str) -> Path:
    """Returns the path of a run folder, outputs/<task>/<model>/<name>, without creating it.

    Args:
        output_dir: the folder of all runs.
        task: name of the task.
        model: name of the model.
        name: name of the run.

    Raises:
        UserError: if the task's or the model's name is not a valid folder name.
    """
    for key, value in (("task.name", task), ("model.name", model)):
        _check_folder_name(key, value)
    return (output_dir / task / model / name).absolute()


def create_run_folder(folder: Path) -> Path:
    """Creates a run folder unless it exists.

    Raises:
        UserError: if it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = reason_of(error)
        raise UserError(f"the run folder {folder} cannot be created ({reason}): set paths.output_dir") from error
    return folder


def rank_zero_value(key: str, value: str) -> str:
    """Returns rank 0's value on all ranks started by torchrun, and `value` itself elsewhere.

    Args:
        key: identifies the value.
        value: this rank's value.

    Raises:
        UserError: if rank 0 doesn't publish its value in time.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return value
    try:
        store = torch.distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=AGREEMENT_SECONDS),
        )
        full_key = f"sluice/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{key}"
        if os.environ["RANK"] == "0":
            store.set(full_key, value)
        return store.get(full_key).decode()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"rank 0 did not send the run's name within {AGREEMENT_SECONDS} s: set one with name="
        ) from error


def _check_folder_name(key: str, name: str) -> None:
    """Checks that a folder name needs no shell quoting and doesn't look like an option.

    Raises:
        UserError: for an invalid name.
    """
    wrong = next((char for char in name if not (char.isalnum() or char in NAME_PUNCTUATION)), None)
    if wrong is not None:
        raise UserError(
            f"{key}={name!r} cannot be used: {wrong!r} is not allowed in the name of a run folder; use alphanumeric "
            f"characters and {' '.join(NAME_PUNCTUATION)}"
        )
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UserError(f"{key}={name[:40]}... cannot be used: it must have at most {MAX_NAME_BYTES} bytes")
    if name in ("", ".", "..") or name.startswith("-"):
        raise UserError(
            f"{key}={name!r} cannot be used: the name of a run folder must not be empty, '.' or '..', or begin with '-'"
        )


def job_id() -> str | None:
    """The scheduler's id of this job; None outside a job."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID") or _torchrun_id()


def _torchrun_id() -> str | None:
    given = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if given in (None, "none") else given
