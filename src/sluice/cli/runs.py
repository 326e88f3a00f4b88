"""A run's folder: its name, what lies in it, and how a finished one is found again."""

import csv
import json
import math
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning
import torch
import yaml

import sluice
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
        name = agreed(f"run {sweep_number}", f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}")
    elif sweep_number is not None:
        name = f"{name}-{sweep_number}"
    return f"sample-{name}" if sample and not name.startswith("sample-") else name


LEFTOVERS = ("error*.txt",)
"""What an earlier attempt leaves that must not outlast the next one."""
OF_ONE_TRAINING = (
    *("events.out.tfevents.*", "metrics.csv", "results.json", "best.ckpt", "recent-*.ckpt"),
    *("config.yaml", "overrides.yaml", "launch.yaml", "splits.npz", "model_module.py"),
)
"""What belongs to one training from its first step on."""


def clear_run_folder(folder: Path, *, resumes: bool) -> None:
    """Removes what an earlier attempt left; where nothing is resumed, everything of it but the log."""
    for pattern in LEFTOVERS if resumes else (*LEFTOVERS, *OF_ONE_TRAINING):
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


def agreed(question: str, proposal: str) -> str:
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


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """The resolved configuration, as config.yaml."""
    _write_whole(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """results.json, written whole or not at all; a figure that is NaN or infinite becomes null."""
    _write_whole(folder / "results.json", json.dumps(finite(dict(results)), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same nested containers with None for each number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_whole(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def read_results(folder: Path) -> dict[str, Any]:
    """What results.json holds."""
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


def write_confusion(folder: Path, labels: Sequence[str], counts: list[list[int]]) -> None:
    """confusion.csv: a row for each true class, a column for each predicted one."""
    with (folder / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true", *labels])
        writer.writerows([label, *row] for label, row in zip(labels, counts, strict=True))


def find_checkpoint(run: Path) -> Path:
    """The checkpoint of a run's folder (the best, else the last), or the file itself.

    Raises:
        UserError: if there is none.
    """
    if run.is_file():
        return run
    for name in ("best.ckpt", "last.ckpt"):
        if (run / name).is_file():
            return run / name
    if run.is_dir():
        raise UserError(f"{run} holds no checkpoint: give a run's folder, which has best.ckpt, or a checkpoint file")
    raise UserError(f"there is no {run}: give a run's folder or a checkpoint file")


def provenance() -> dict[str, Any]:
    """What a result needs to be found again: command, commit, versions, machine."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": _git_commit(),
        "version/sluice": sluice.__version__,
        "version/torch": torch.__version__,
        "version/pytorch_lightning": pytorch_lightning.__version__,
        "version/python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


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


def _git_commit() -> str | None:
    """The commit of the checkout Sluice runs from, with "-dirty" where files differ; None outside one."""
    folder = Path(sluice.__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
