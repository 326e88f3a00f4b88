"""python train.py as processes of their own."""

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
"""Seconds that no run of these tests takes, not even on a busy machine."""


def command(*parts: str, cwd: Path) -> Ended:
    """A command to its end."""
    done = subprocess.run(parts, cwd=cwd, capture_output=True, text=True, timeout=LONGEST)
    return Ended(done.returncode, done.stdout, done.stderr)


class Started:
    """python train.py in a session of its own, as in a terminal."""

    def __init__(self, *settings: str, cwd: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*TRAIN, *settings], cwd=cwd, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def wait_for(self, path: Path) -> None:
        """Until there is such a file."""
        deadline = time.monotonic() + LONGEST
        while not path.exists():
            assert self.process.poll() is None, self.ended()
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.01)

    def press_ctrl_c(self) -> None:
        """The terminal tells every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> Ended:
        out, err = self.process.communicate(timeout=LONGEST)
        return Ended(self.process.returncode, out, err)


def children_of(process: int) -> list[int]:
    """Processes that it started, in their order."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return sorted(int(child) for children in tasks for child in children.read_text(encoding="utf-8").split())
