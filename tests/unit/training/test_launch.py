"""Launching several processes on one machine: number, launcher and termination."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from running import CONF, SAMPLE
from sluice.composition.compose import checked, compose_config
from sluice.config.fields import shown
from sluice.config.schema import schema_name
from sluice.config.stored import restored
from sluice.distributed import accelerator_of, global_rank, num_devices, started_by_launcher
from sluice.errors import UserError
from sluice.program import LAUNCHED
from sluice.training import launch as launching
from sluice.training.launch import LAUNCH_FILE, _port, check_launch, launch

pytestmark = pytest.mark.usefixtures("workdir")


def torchrun(rank: int = 0, world_size: int = 2, nodes: int = 1) -> dict[str, str]:
    """The environment that torchrun sets."""
    each = world_size // nodes
    values = {"RANK": rank, "LOCAL_RANK": rank % each, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": each}
    return {name: str(value) for name, value in values.items()}


def srun(rank: int = 0, tasks: int = 2, nodes: int = 1) -> dict[str, str]:
    """The environment that srun sets for a task in a job of four nodes."""
    values = {"SLURM_JOB_ID": 7, "SLURM_STEP_ID": 0, "SLURM_PROCID": rank, "SLURM_NTASKS": tasks, "SLURM_NNODES": 4}
    return {name: str(value) for name, value in (values | {"SLURM_STEP_NUM_NODES": nodes}).items()}


BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NNODES": "2"}
WORKER = {**torchrun(1, 2), LAUNCHED: "1"}


class TestDevices:
    @pytest.fixture(autouse=True)
    def _four_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)

    @pytest.mark.parametrize(
        ("devices", "accelerator", "expected"),
        [
            (1, "auto", 1),
            (3, "gpu", 3),
            ("4", "cuda", 4),
            ("auto", "auto", 4),
            (-1, "gpu", 4),
            ("-1", "gpu", 4),
            ([1, 3], "gpu", 2),
            ("auto", "cpu", 1),
            (-1, "cpu", 1),
            (64, "cpu", 64),
        ],
    )
    def test_one_process_per_device(self, devices: Any, accelerator: str, expected: int) -> None:
        assert num_devices({"devices": devices, "accelerator": accelerator}) == expected

    def test_auto_is_cuda_or_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for available, expected in ((True, "cuda"), (False, "cpu")):
            monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
            assert [accelerator_of(name) for name in ("auto", "cpu", "gpu")] == [expected, "cpu", "gpu"]

    def test_default_is_one_process(self) -> None:
        assert num_devices({}) == 1

    def test_auto_without_a_gpu_is_one_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        assert num_devices({"devices": "auto", "accelerator": "auto"}) == 1

    @pytest.mark.parametrize("devices", [0, -2, 1.5, "two", "0", None, ""])
    def test_invalid_number_of_devices_is_refused(self, devices: Any) -> None:
        with pytest.raises(UserError, match=rf"trainer.devices={shown(devices)} cannot be used: it must be a whole"):
            num_devices({"devices": devices})

    @pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
    def test_more_gpus_than_available_are_refused(self, accelerator: str) -> None:
        with pytest.raises(UserError, match=r"trainer.devices=5 cannot be used: this machine has 4 GPUs"):
            num_devices({"devices": 5, "accelerator": accelerator})

    def test_empty_list_of_gpus_is_refused(self) -> None:
        with pytest.raises(UserError):
            num_devices({"devices": [], "accelerator": "gpu"})


class TestLauncher:
    @pytest.mark.parametrize(
        ("environment", "expected"),
        [({}, False), (BATCH_SCRIPT, False), (torchrun(), True), (srun(), True), (WORKER, True)],
    )
    def test_launcher_is_detected(self, environment: dict[str, str], expected: bool) -> None:
        assert started_by_launcher(environment) is expected

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({}, 0),
            (BATCH_SCRIPT, 0),
            (torchrun(3, 4), 3),
            (srun(5, 8, 2), 5),
            (WORKER, 1),
            ({**srun(1), **torchrun(2, 4)}, 2),
        ],
    )
    def test_rank_is_read_from_the_launcher(self, environment: dict[str, str], expected: int) -> None:
        assert global_rank(environment) == expected

    def test_process_environment_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert (started_by_launcher(), global_rank()) == (False, 0)
        for name, value in torchrun(1).items():
            monkeypatch.setenv(name, value)
        assert (started_by_launcher(), global_rank()) == (True, 1)


class TestCheckLaunch:
    @pytest.mark.parametrize(
        ("environment", "devices", "nodes"),
        [
            (torchrun(world_size=2), 2, 1),
            (torchrun(world_size=6, nodes=3), 2, 3),
            (torchrun(world_size=1), 1, 1),
            (srun(tasks=2), "2", 1),
            (srun(tasks=8, nodes=2), 4, "2"),
            ({**srun(tasks=4), "SLURM_STEP_NUM_NODES": ""}, 1, 4),
            ({**srun(tasks=8), "SLURM_STEP_NUM_TASKS": "2"}, 2, 1),
            ({**srun(tasks=1), **torchrun(world_size=4, nodes=2)}, 2, 2),
            ({}, 2, 1),
            (BATCH_SCRIPT, 2, 1),
            ({**WORKER, "WORLD_SIZE": "5"}, 2, 1),
        ],
    )
    def test_matching_launch_is_accepted(self, environment: dict[str, str], devices: Any, nodes: Any) -> None:
        check_launch({"devices": devices, "num_nodes": nodes, "accelerator": "cpu"}, environment)

    @pytest.mark.parametrize(
        ("environment", "devices", "nodes", "message"),
        [
            (torchrun(world_size=4), 2, 1, "torchrun started 4 processes on 1 nodes, .* require 2 on 1"),
            (torchrun(world_size=2), 1, 1, "torchrun started 2 processes on 1 nodes, .* require 1 on 1"),
            (torchrun(world_size=4, nodes=2), 4, 1, "torchrun started 4 processes on 2 nodes, .* require 4 on 1"),
            (srun(tasks=2), 1, 1, "srun started 2 processes on 1 nodes, .* require 1 on 1"),
            (srun(tasks=4, nodes=4), 2, 2, "srun started 4 processes on 4 nodes, .* require 4 on 2"),
            (srun(tasks=1), 2, 1, "srun started 1 processes on 1 nodes, .* require 2 on 1"),
        ],
    )
    def test_mismatched_launch_is_refused(
        self, environment: dict[str, str], devices: int, nodes: int, message: str
    ) -> None:
        with pytest.raises(UserError, match=f"{message}: make them agree") as error:
            check_launch({"devices": devices, "num_nodes": nodes, "accelerator": "cpu"}, environment)
        assert f"trainer.devices={devices} and trainer.num_nodes={nodes}" in str(error.value)

    @pytest.mark.parametrize("environment", [{}, BATCH_SCRIPT])
    def test_several_nodes_need_a_launcher(self, environment: dict[str, str]) -> None:
        with pytest.raises(UserError, match=r"trainer.num_nodes=2 needs a launcher on every node: srun or torchrun"):
            check_launch({"devices": 1, "num_nodes": 2}, environment)

    @pytest.mark.parametrize("nodes", ["two", -1, 1.5])
    def test_invalid_number_of_nodes_is_refused(self, nodes: Any) -> None:
        with pytest.raises(UserError, match=f"trainer.num_nodes={nodes} cannot be used: it must be a whole number"):
            check_launch({"devices": 1, "num_nodes": nodes}, torchrun())


class TestPort:
    def test_free_port_is_found(self) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", _port()))

    def test_master_port_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        free = _port()
        monkeypatch.setenv("MASTER_PORT", str(free))
        assert _port() == free

    def test_port_in_use_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            monkeypatch.setenv("MASTER_PORT", str(port))
            with pytest.raises(UserError, match=f"MASTER_PORT={port} is in use: unset it or choose another"):
                _port()

    @pytest.mark.parametrize("port", ["mine", "-1", "65536", "²"])
    def test_invalid_port_is_refused(self, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
        monkeypatch.setenv("MASTER_PORT", port)
        with pytest.raises(UserError, match=f"MASTER_PORT={port} cannot be used: it must be a number below 65536"):
            _port()


SLEEP = "import time; time.sleep(60)"


class Workers:
    """Replaces the workers: each rank runs its own script."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.scripts = folder, [""]
        self.processes: list[subprocess.Popen[bytes]] = []
        monkeypatch.setattr(launching, "_start", self.start)
        monkeypatch.setattr(launching, "GRACE_SECONDS", 0.3)

    def start(self, path: Path, rank: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        variables = {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        script = "import os, signal, sys, time\nfrom pathlib import Path\n" + self.scripts[rank]
        self.processes.append(subprocess.Popen([sys.executable, "-S", "-c", script], env=variables, cwd=self.folder))
        return self.processes[-1]

    def launch(self, *scripts: str) -> int:
        self.scripts = list(scripts)
        return launch({"seed": 1}, "imdb", self.folder, len(scripts))

    def ended(self) -> bool:
        """Whether all workers end within a few seconds."""
        return all(process.wait(5) is not None for process in self.processes)


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    return Workers(tmp_path, monkeypatch)


class TestTermination:
    def test_launch_ends_when_all_workers_end(self, workers: Workers) -> None:
        assert workers.launch("", "time.sleep(0.2)", "") == 0

    @pytest.mark.parametrize("code", [2, 130])
    def test_exit_code_of_the_workers_is_returned(self, workers: Workers, code: int) -> None:
        assert workers.launch(f"sys.exit({code})", f"time.sleep(0.1); sys.exit({code})") == code

    def test_killed_worker_is_reported_and_stops_the_others(self, workers: Workers) -> None:
        started = time.monotonic()
        with pytest.raises(UserError, match=r"rank 1 of 3 was killed by SIGKILL: the run was stopped; resume="):
            workers.launch(SLEEP, "os.kill(os.getpid(), signal.SIGKILL)", SLEEP)
        assert workers.ended()
        assert time.monotonic() - started < 5

    def test_failed_worker_is_reported_and_stops_the_others(self, workers: Workers) -> None:
        with pytest.raises(UserError, match=r"rank 0 of 2 ended with exit code 1: the run was stopped"):
            workers.launch("sys.exit(1)", SLEEP)
        assert workers.ended()

    def test_other_workers_get_a_grace_period(
        self, workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(launching, "GRACE_SECONDS", 30)
        with pytest.raises(UserError, match="rank 1"):
            workers.launch("time.sleep(0.3); Path('done').touch()", "sys.exit(1)")
        assert (tmp_path / "done").exists()

    def test_early_success_does_not_stop_the_others(self, workers: Workers, tmp_path: Path) -> None:
        assert workers.launch("", "time.sleep(0.5); Path('done').touch()") == 0
        assert (tmp_path / "done").exists()

    def test_user_error_takes_precedence_over_a_crash(self, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launching, "GRACE_SECONDS", 30)
        assert workers.launch("time.sleep(0.2); sys.exit(2)", "sys.exit(1)") == 2


LISTENER = """
def handle(number, frame):
    Path(os.environ['RANK']).write_text(signal.Signals(number).name)
    sys.exit(130)
for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, handle)
Path('ready' + os.environ['RANK']).touch()
"""
SENDER = """
while not Path('ready1').exists():
    time.sleep(0.01)
os.kill(os.getppid(), signal.{name})
time.sleep(10)
"""


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_are_forwarded_to_every_worker(workers: Workers, tmp_path: Path, name: str) -> None:
    before = signal.getsignal(signal.Signals[name])
    assert workers.launch(LISTENER + SENDER.format(name=name), LISTENER + SLEEP) == 130
    assert [(tmp_path / rank).read_text() for rank in "01"] == [name, name]
    assert signal.getsignal(signal.Signals[name]) == before


def test_worker_that_ignores_sigterm_is_killed(workers: Workers) -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    ignoring = LISTENER.replace("Path('ready'", ignore + "Path('ready'")  # before the signal is sent
    assert ignore in ignoring
    with pytest.raises(UserError, match="was killed by SIGKILL"):
        workers.launch(ignoring + SENDER.format(name="SIGTERM"), ignoring + SLEEP)
    assert workers.ended()


class TestWorkerEnvironment:
    def test_each_worker_gets_its_rank_variables(self, workers: Workers, tmp_path: Path) -> None:
        names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", LAUNCHED]
        script = f"Path('environment' + os.environ['RANK']).write_text(' '.join(os.environ[name] for name in {names}))"
        assert workers.launch(script, script) == 0
        found = [(tmp_path / f"environment{rank}").read_text() for rank in (0, 1)]
        assert found == ["0 0 2 2 127.0.0.1 1", "1 1 2 2 127.0.0.1 1"]

    @pytest.mark.parametrize(("wanted", "expected"), [("3", "3"), (None, "2")])
    def test_cores_are_split_unless_omp_num_threads_is_set(
        self, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str | None, expected: str
    ) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if wanted is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        workers.launch("Path('threads').write_text(os.environ['OMP_NUM_THREADS'])", "")
        assert (tmp_path / "threads").read_text() == expected

    @pytest.mark.parametrize("task", ["imdb", "reviews"])
    def test_configuration_is_restored_unchanged(self, workers: Workers, tmp_path: Path, task: str) -> None:
        texts = SAMPLE if task == "imdb" else ("task.data.path=mine.csv", "task.class_weights={a: 1, b: 0.5}")
        config = checked(compose_config([f"task={task}", *texts, "optimizer.lr=1e-5", "name=007"], CONF))
        workers.scripts = [""]
        launch(asdict(config), schema_name(config.task), tmp_path, 1)
        plain = yaml.safe_load((tmp_path / LAUNCH_FILE).read_text(encoding="utf-8"))
        assert restored(plain["config"], plain["schema"]) == config
