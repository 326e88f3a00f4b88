"""Starts one worker process per device, all with the same resolved configuration.

Workers read the configuration from a file instead of the command line, so they cannot restart a sweep or compose a
different configuration.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from sluice.distributed import environment_number, in_slurm_step, num_devices, num_nodes, started_by_launcher
from sluice.errors import UserError
from sluice.exit_codes import EXIT_CODE, INTERRUPTED
from sluice.plain import Plain, PlainMapping
from sluice.program import LAUNCHED
from sluice.signals import available, find_signal

LAUNCH_FILE = "launch.yaml"
GRACE_SECONDS = 20.0
"""Time for the other workers to exit after one has failed, and for all of them after SIGTERM."""
FORWARDED_SIGNALS = available("SIGUSR1", "SIGUSR2", "SIGTERM", "SIGHUP", "SIGINT")


def check_launch(trainer: PlainMapping, environment: Mapping[str, str] = os.environ) -> None:
    """Checks that the started processes match the trainer's settings: a mismatch would make training hang.

    Raises:
        UserError: if they differ.
    """
    if LAUNCHED in environment:
        return
    devices, nodes = num_devices(trainer), num_nodes(trainer)
    if not started_by_launcher(environment):
        if nodes > 1:
            raise UserError(f"trainer.num_nodes={nodes} needs a launcher on every node: srun or torchrun")
        return
    if in_slurm_step(environment):
        of_step = bool(environment.get("SLURM_STEP_NUM_TASKS"))
        launcher = "srun"
        tasks = environment_number("SLURM_STEP_NUM_TASKS" if of_step else "SLURM_NTASKS", environment, 1, 1)
        nodes_variable = "SLURM_STEP_NUM_NODES" if environment.get("SLURM_STEP_NUM_NODES") else "SLURM_NNODES"
        on_nodes = environment_number(nodes_variable, environment, 1, 1)
    else:
        launcher, tasks = "torchrun", environment_number("WORLD_SIZE", environment, 1, 1)
        on_nodes = tasks // environment_number("LOCAL_WORLD_SIZE", environment, tasks, 1)
    if (tasks, on_nodes) != (devices * nodes, nodes):
        raise UserError(
            f"{launcher} started {tasks} processes on {on_nodes} nodes, but trainer.devices={devices} and "
            f"trainer.num_nodes={nodes} require {devices * nodes} on {nodes}: make them agree"
        )


def launch(
    plain: Plain, schema: str, folder: Path, workers: int, extra_environment: Mapping[str, str] | None = None
) -> int:
    """Starts the workers, forwards signals to them and waits for them.

    Args:
        plain: the configuration in plain containers, with `paths.run_dir` set.
        schema: name of the task's schema.
        folder: the run folder.
        workers: number of workers.
        extra_environment: additional environment variables for the workers.

    Returns:
        0, or the exit code of the lowest rank that ended with a user error (2) or an interruption (130).

    Raises:
        UserError: if MASTER_PORT is invalid or in use, or a worker fails in another way; the message names the rank.
    """
    path = folder / LAUNCH_FILE
    path.write_text(yaml.safe_dump({"schema": schema, "config": plain}, sort_keys=False), encoding="utf-8")
    environment = {
        **os.environ,
        **(extra_environment or {}),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_port()),
        "WORLD_SIZE": str(workers),
        LAUNCHED: "1",
        "LOCAL_WORLD_SIZE": str(workers),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers))),
    }
    processes = [_start(path, rank, environment) for rank in range(workers)]
    handlers = {
        number: signal.signal(number, lambda got, _: _forward(processes, got))
        for number in FORWARDED_SIGNALS
        if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN  # as under nohup
    }
    try:
        return _wait(processes, folder)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for process in processes:
            process.kill()


def _start(path: Path, rank: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    isolated = ["-P"] if sys.version_info >= (3, 11) else []  # without the working directory, which `-m` adds
    command = [sys.executable, *isolated, "-m", "sluice.training.worker", str(path)]
    environment = {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    return subprocess.Popen(command, env=environment, start_new_session=True)  # the parent forwards Ctrl-C


def _forward(processes: list["subprocess.Popen[bytes]"], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)
    if number == signal.SIGTERM:
        killing = threading.Timer(GRACE_SECONDS, _forward, (processes, find_signal("SIGKILL")))
        killing.daemon = True
        killing.start()


def _wait(processes: list["subprocess.Popen[bytes]"], folder: Path) -> int:
    """Waits for all workers; when one fails, the others have GRACE_SECONDS to exit."""
    while all(process.poll() in (None, 0) for process in processes):
        if all(process.poll() == 0 for process in processes):
            return 0
        time.sleep(0.05)
    rank, code = next((rank, process.poll()) for rank, process in enumerate(processes) if process.poll())
    deadline = time.monotonic() + GRACE_SECONDS
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    codes = [process.poll() for process in processes]
    expected = next((given for given in codes if given in (EXIT_CODE, INTERRUPTED)), None)
    if expected is not None:
        return expected
    assert code is not None
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    raise UserError(f"rank {rank} of {len(processes)} {how}: the run was stopped; resume={folder} resumes it")


def _port() -> int:
    """MASTER_PORT, or a free port.

    Raises:
        UserError: if MASTER_PORT is invalid or in use.
    """
    given = os.environ.get("MASTER_PORT") or "0"
    port = int(given) if given.isdecimal() else -1
    if not 0 <= port < 2**16:
        raise UserError(f"MASTER_PORT={given} cannot be used: it must be a number below 65536")
    with socket.socket() as test_socket:
        try:
            test_socket.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"MASTER_PORT={port} is in use: unset it or choose another") from error
        return int(test_socket.getsockname()[1])
