"""The command that started training, for messages: `python train.py`, `sluice train` or `python -m sluice train`."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

LAUNCHED = "SLUICE_LAUNCHED"
"""Environment variable that is set in worker processes started by Sluice."""
STARTED_AT = "SLUICE_STARTED_AT"
"""Environment variable with the time at which the command started, for worker processes: time.monotonic()."""
STARTED_BY = "SLUICE_STARTED_BY"
"""Environment variable with the command and its arguments as a JSON list, for the processes that training starts."""


def training_command() -> str:
    """Returns the command, with shell quoting; `sluice train` in commands other than training."""
    return _recorded()[0] if _is_child() else _own()


def training_command_line() -> str:
    """Returns the command and its arguments without quoting, as stored in results.json."""
    command, *arguments = _recorded() if _is_child() else (_own(), *sys.argv[1:])
    script = shlex.split(command)[-1]
    return " ".join([Path(script).name if script.endswith("train.py") else command, *arguments])


def record_training_command() -> None:
    """Passes the command line to the workers and jobs that this process starts."""
    if not _is_child():
        os.environ[STARTED_BY] = json.dumps([_own(), *sys.argv[1:]])


def _own() -> str:
    program = Path(sys.argv[0])
    if program.name == "__main__.py" and program.parent.name == "sluice":
        return "python -m sluice train"
    return shlex.join(["python", sys.argv[0]]) if program.name == "train.py" else "sluice train"


def _is_child() -> bool:
    """Whether `sys.argv` is not the user's: in workers, and in jobs of submitit."""
    return LAUNCHED in os.environ or "SUBMITIT_EXECUTOR" in os.environ


def _recorded() -> Sequence[str]:
    words: list[str] = json.loads(os.environ.get(STARTED_BY) or "[]")
    return words or ["sluice train"]
