"""A local SLURM: a controller, two nodes of one core each, and jobs on them."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from running import Ended

ROOT = Path(__file__).resolve().parents[1]
SLUICE_BATCH = ROOT / "cluster" / "sluice.sbatch"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "srun", "sbatch", "scontrol", "scancel", "squeue")
NODES = ("n1", "n2")
ENDED_BADLY = ("FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
ENDED = ("COMPLETED", *ENDED_BADLY)
START_SECONDS, JOB_SECONDS = 30, 150
REQUEUE_SECONDS = 5
"""Delay before a requeued job may start; SLURM uses the lifetime of a credential."""

CONFIGURATION = """\
ClusterName=sluice
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket,cred_expire={requeue_seconds}
StateSaveLocation={home}/state
SlurmctldPidFile={home}/slurmctld.pid
SlurmdSpoolDir={home}/spool-%n
SlurmdPidFile={home}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
ReturnToService=2
KillOnBadExit=1
KillWait=5
MinJobAge=3600
FirstJobId={first_job}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE
"""
"""KillOnBadExit: as on most clusters, a failing task of a step ends the others."""


@dataclass(frozen=True)
class Slurm:
    """Commands on a running SLURM."""

    environment: dict[str, str]

    def run(self, *command: str | Path, cwd: Path = ROOT, seconds: float = JOB_SECONDS) -> Ended:
        """Runs a command to completion."""
        parts = [str(part) for part in command]
        done = subprocess.run(
            parts, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def answer(self, *command: str | Path) -> str:
        """The output of a command that must succeed."""
        ended = self.run(*command)
        assert ended.code == 0, ended.err
        return ended.out.strip()

    def srun(self, *options_and_command: str | Path) -> Ended:
        """Runs srun to completion; its own messages are removed from stderr."""
        ended = self.run("srun", *options_and_command)
        kept = [line for line in ended.err.splitlines() if not line.startswith(("srun: ", "slurmstepd"))]
        return Ended(ended.code, ended.out, "\n".join(kept))

    def wait_for_all(self) -> None:
        """Waits until the queue is empty."""
        deadline = time.monotonic() + JOB_SECONDS
        while queue := self.answer("squeue", "--noheader"):
            assert time.monotonic() < deadline, queue
            time.sleep(0.1)

    def submit(self, output: Path, *options_and_arguments: str | Path) -> "Job":
        """Submits a batch job that writes to `output`; %j in the name is the job number."""
        number = self.answer("sbatch", "--parsable", f"--output={output}", *options_and_arguments)
        return Job(self, number, output.with_name(output.name.replace("%j", number)))


@dataclass(frozen=True)
class Job:
    """A batch job."""

    slurm: Slurm
    number: str
    output: Path

    @property
    def facts(self) -> dict[str, str]:
        """The fields of `scontrol show job`."""
        line = self.slurm.answer("scontrol", "show", "job", self.number, "--oneliner").splitlines()[0]
        return dict(fact.split("=", 1) for fact in line.split() if "=" in fact)

    def send_stop_signal(self) -> None:
        """Sends the signal that --signal=USR1@... sends before the time limit."""
        self.slurm.answer("scancel", "--signal=USR1", self.number)

    def requeue(self) -> None:
        """Requeues the job, running or completed."""
        self.slurm.answer("scontrol", "requeue", self.number)

    def wait_until_running(self, restarts: int) -> None:
        """Waits until the job runs after the given number of requeues."""
        self._reached(lambda facts: facts["JobState"] == "RUNNING" and facts["Restarts"] == str(restarts))

    def wait_until_ended(self) -> dict[str, str]:
        """Waits until the job has ended, and returns its fields."""
        return self._reached(lambda facts: facts["JobState"] in ENDED)

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Waits until a condition holds, before the job ends."""
        self._reached(lambda facts: happened() or facts["JobState"] in ENDED)
        assert happened(), f"{self.facts['JobState']}\n{self.printed}"

    @property
    def printed(self) -> str:
        """The output of the job so far."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    def _reached(self, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        deadline = time.monotonic() + JOB_SECONDS
        facts = self.facts
        while not wanted(facts):
            hopeless = facts["JobState"] in ENDED_BADLY or time.monotonic() > deadline
            assert not hopeless, f"job {self.number} stays {facts['JobState']}:\n{self.printed}"
            time.sleep(0.1)
            facts = self.facts
        return facts


class CannotRunError(Exception):
    """SLURM cannot be started here."""


@contextmanager
def local_slurm(home: Path) -> Iterator[Slurm]:
    """Runs munged, slurmctld and two slurmd with their files in `home`.

    Raises:
        CannotRunError: if a program is missing or a daemon does not start.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise CannotRunError(f"SLURM isn't installed ({', '.join(missing)})")
    if os.geteuid() != 0:
        raise CannotRunError("only root can start these daemons")
    slurm = Slurm(_environment(_configured(home)))
    key, lock = home / "munge.key", home / "munge.socket"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = {"key-file": key, "socket": lock, "pid-file": home / "munge.pid", "seed-file": home / "munge.seed"}
    munged = ["munged", "--foreground", "--force", f"--log-file={home / 'munge.log'}"]
    with ExitStack() as running:
        running.enter_context(_daemon(home, slurm, *munged, *(f"--{name}={path}" for name, path in files.items())))
        _wait(home, lock.exists)
        running.enter_context(_daemon(home, slurm, "slurmctld", "-D"))
        for node in NODES:
            running.enter_context(_daemon(home, slurm, "slurmd", "-D", "-N", node))
        _wait(home, lambda: slurm.run("sinfo", "--noheader", "--format=%t %D").out.split() == ["idle", str(len(NODES))])
        running.callback(_all_jobs_ended, slurm)
        yield slurm


def _configured(home: Path) -> Path:
    """Writes slurm.conf, and makes the folders it names."""
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (home / name).mkdir()
    host, (port, *node_ports) = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
    first_job = 1 + secrets.randbelow(9000)  # Lightning derives a port from it
    lines = CONFIGURATION.format(
        home=home, host=host, port=port, requeue_seconds=REQUEUE_SECONDS, first_job=first_job
    ).splitlines()
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1"
        for node, port in zip(NODES, node_ports, strict=True)
    ]
    path = home / "slurm.conf"
    path.write_text("\n".join([*lines[:-1], *nodes, lines[-1], ""]), encoding="utf-8")
    return path


def _environment(configuration: Path) -> dict[str, str]:
    """The environment of a user on a cluster, without variables of a job that may run these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SLUICE_"))}
    return kept | {
        "SLURM_CONF": str(configuration),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MASTER_ADDR": "127.0.0.1",  # node names are not host names
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def _daemon(home: Path, slurm: Slurm, *command: str) -> Iterator[None]:
    """Runs a process within the block; its output goes to a file named after it."""
    with (home / f"{command[0]}{command[-1] if command[0] == 'slurmd' else ''}.txt").open("wb") as output:
        process = subprocess.Popen(
            command, env=slurm.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            process.wait()


def _wait(home: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-500:] for path in sorted(home.glob("*.txt")))
            raise CannotRunError(f"SLURM didn't come up within {START_SECONDS} s:\n{logs}")
        time.sleep(0.2)


def _all_jobs_ended(slurm: Slurm) -> None:
    """Cancels all jobs, and waits for their end."""
    jobs = slurm.answer("squeue", "--noheader", "--format=%A").split()
    if jobs:
        slurm.run("scancel", *jobs)
    slurm.wait_for_all()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [int(taken.getsockname()[1]) for taken in sockets]
