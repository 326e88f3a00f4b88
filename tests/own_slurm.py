"""A SLURM of one's own on this machine: a controller and two nodes of one core each, and jobs on them."""

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
"""A requeued job waits that long before it may start again; SLURM takes the life of a credential for it."""

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
"""KillOnBadExit: as on most clusters, the first task of a step that fails ends the others."""


@dataclass(frozen=True)
class Slurm:
    """Commands on a running SLURM."""

    environment: dict[str, str]

    def run(self, *command: str | Path, cwd: Path = ROOT, seconds: float = JOB_SECONDS) -> Ended:
        """A command to its end."""
        parts = [str(part) for part in command]
        done = subprocess.run(
            parts, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def answer(self, *command: str | Path) -> str:
        """What a command that must succeed printed."""
        ended = self.run(*command)
        assert ended.code == 0, ended.err
        return ended.out.strip()

    def srun(self, *options_and_command: str | Path) -> Ended:
        """srun to its end, without the lines in which it says which task ended how."""
        ended = self.run("srun", *options_and_command)
        kept = [line for line in ended.err.splitlines() if not line.startswith(("srun: ", "slurmstepd"))]
        return Ended(ended.code, ended.out, "\n".join(kept))

    def wait_for_all(self) -> None:
        """Waits until no job is left."""
        deadline = time.monotonic() + JOB_SECONDS
        while queue := self.answer("squeue", "--noheader"):
            assert time.monotonic() < deadline, queue
            time.sleep(0.1)

    def submit(self, output: Path, *options_and_arguments: str | Path) -> "Job":
        """sbatch; the job writes to `output`, in whose name %j is its number."""
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
        """What SLURM says of the job."""
        line = self.slurm.answer("scontrol", "show", "job", self.number, "--oneliner").splitlines()[0]
        return dict(fact.split("=", 1) for fact in line.split() if "=" in fact)

    def asked_to_save(self) -> None:
        """Sends what --signal=USR1@... sends before the time is up."""
        self.slurm.answer("scancel", "--signal=USR1", self.number)

    def requeued(self) -> None:
        """Puts it back into the queue, running or done."""
        self.slurm.answer("scontrol", "requeue", self.number)

    def started(self, again: int) -> None:
        """Waits until it runs after so many requeues."""
        self._reached(lambda facts: facts["JobState"] == "RUNNING" and facts["Restarts"] == str(again))

    def ended(self) -> dict[str, str]:
        """What SLURM says once it has ended."""
        return self._reached(lambda facts: facts["JobState"] in ENDED)

    def has(self, happened: Callable[[], bool]) -> None:
        """Waits for something that it does while it runs."""
        self._reached(lambda facts: happened() or facts["JobState"] in ENDED)
        assert happened(), f"{self.facts['JobState']}\n{self.said}"

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    def _reached(self, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        deadline = time.monotonic() + JOB_SECONDS
        facts = self.facts
        while not wanted(facts):
            hopeless = facts["JobState"] in ENDED_BADLY or time.monotonic() > deadline
            assert not hopeless, f"job {self.number} stays {facts['JobState']}:\n{self.said}"
            time.sleep(0.1)
            facts = self.facts
        return facts


class CannotRunError(Exception):
    """Why there can be no SLURM here."""


@contextmanager
def own_slurm(home: Path) -> Iterator[Slurm]:
    """Starts munged, slurmctld and two slurmd, all with their files in `home`, and ends them.

    Raises:
        CannotRunError: if a program is missing, or they don't come up.
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
    """slurm.conf, and the folders it names."""
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (home / name).mkdir()
    host, (port, *node_ports) = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
    first_job = 1 + secrets.randbelow(9000)  # Lightning makes a port of it
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
    """What a person on a cluster has, and nothing of a job that may be running this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SLUICE_"))}
    return kept | {
        "SLURM_CONF": str(configuration),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MASTER_ADDR": "127.0.0.1",  # the nodes' names are no hosts'
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def _daemon(home: Path, slurm: Slurm, *command: str) -> Iterator[None]:
    """A process that runs meanwhile, and writes into a file of its name."""
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
    """Leaves no process of a job behind."""
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
