"""Without the names that only POSIX systems have, everything is imported, and a run trains and predicts."""

import subprocess
import sys
from pathlib import Path

import pytest

from processes import LONGEST

SCRIPT = """
import importlib, os, pkgutil, signal, sys

import filelock, hydra, matplotlib.pyplot, numpy, pooch, pytorch_lightning, rich, tensorboard, torch, typer
import multiprocessing.popen_spawn_posix, subprocess, tempfile, tensorboard.summary.writer.event_file_writer

from pytorch_lightning.trainer.connectors import signal_connector
signal_connector._IS_WINDOWS = True  # Lightning then uses none of these signals either
signal.valid_signals = lambda: {signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV}

for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGKILL", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGQUIT"):
    delattr(signal, name)
for name in ("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "killpg", "setsid", "sysconf", "uname",
             "RTLD_NOW", "statvfs", "sched_getaffinity", "getloadavg", "chown", "mkfifo", "wait"):
    delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None

import sluice

for found in pkgutil.walk_packages(sluice.__path__, "sluice."):
    if found.name != "sluice.__main__":
        importlib.import_module(found.name)

from sluice.cli.main import app

settings = "task=temporal_order task.level=easy model.hidden_size=3 embedding.size=3 trainer=cpu debug=fast name=a"
for arguments in (f"train {settings}", "predict outputs/temporal_order/lstm/a B", "compare outputs"):
    sys.argv = ["sluice", *arguments.split()]
    try:
        app()
    except SystemExit as ending:
        assert not ending.code, arguments
print("trained and predicted")
"""


@pytest.mark.slow
def test_names_of_posix_systems_are_not_needed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("trained and predicted\n")
