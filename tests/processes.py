"""python train.py in separate processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from running import Ended

ROOT = Path(__file__).resolve().parents[1]
TRAIN = (sys.executable, str(ROOT / "train.py"))
LONGEST = 150.0
"""Timeout in seconds, sufficient on a busy machine."""


def command(*parts: str, cwd: Path) -> Ended:
    """Runs a command to completion."""
    done = subprocess.run(parts, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
    return Ended(done.returncode, done.stdout, done.stderr)


class Started:
    """python train.py in a new session, as in a terminal."""

    def __init__(self, *settings: str, cwd: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*TRAIN, *settings], cwd=cwd, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def wait_for(self, path: Path) -> None:
        """Waits until the file exists."""
        deadline = time.monotonic() + LONGEST
        while not path.exists():
            assert self.process.poll() is None, self.ended()
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.01)

    def press_ctrl_c(self) -> None:
        """Sends SIGINT to the process group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> Ended:
        out, err = self.process.communicate(timeout=LONGEST)
        return Ended(self.process.returncode, out, err)


def children_of(process: int) -> list[int]:
    """Ids of the child processes, sorted."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return sorted(int(child) for children in tasks for child in children.read_text(encoding="utf-8").split())
