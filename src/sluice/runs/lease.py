"""One writer per run folder: a lease file that names the writing process and is renewed while that process runs.

The lease of a folder is its file `.lease-N` with the highest N. A process takes over an abandoned lease N by creating
`.lease-N+1`; exclusive creation is atomic, so only one of several processes succeeds. Ages are differences of
modification times in the same folder, so the clocks of different hosts are never compared.
"""

import errno
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sluice.errors import UserError, reason_of

PREFIX = ".lease-"
INHERITED = "SLUICE_LEASE"
"""Environment variable that passes a lease to a worker: "number:token"."""
RENEW_SECONDS = 30.0
REBOOT_SECONDS = 2.5 * RENEW_SECONDS
"""Age at which a lease from before a reboot expires."""
CHECK_ATTEMPTS = 5
EXPIRY_SECONDS = 300.0
"""Age at which a lease expires."""
_PROC = Path("/proc")


class LeaseLost(UserError):
    """Another process has taken over this run folder."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease."""

    host: str
    pid: int
    started: str | None = None
    """Start time of the process in clock ticks since boot, since pids are reused."""
    boot: str | None = None
    """Boot id of the host's kernel."""
    namespace: str | None = None
    """PID namespace, since containers have separate pids."""
    job: str | None = None
    """SLURM job id."""
    restarts: int = 0
    """Number of times SLURM has requeued the job."""
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def this_process(cls, environment: Mapping[str, str] = os.environ) -> "Holder":
        """The current process, with a new token."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            pid=pid,
            started=_start_time(pid),
            boot=_boot_id(),
            namespace=_pid_namespace(),
            job=environment.get("SLURM_JOB_ID"),
            restarts=int(environment.get("SLURM_RESTART_COUNT") or 0),
        )

    def has_ended(self) -> bool:
        """Whether the process is known to have ended; False if it can't be determined on this host."""
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot_id():
            return True
        if self.namespace != _pid_namespace():
            return False
        return not _exists(self.pid) or _start_time(self.pid) != self.started

    def is_requeued_as(self, other: "Holder") -> bool:
        """Whether `other` belongs to the same SLURM job after it was requeued."""
        return self.job is not None and self.job == other.job and self.restarts != other.restarts

    def __str__(self) -> str:
        job = f" (SLURM job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


def _boot_id() -> str | None:
    return _read(_PROC / "sys/kernel/random/boot_id")


class Lease:
    """The right to write to a run folder; a daemon thread renews it."""

    def __init__(self, path: Path, token: str, *, inherited: bool = False) -> None:
        """
        Args:
            path: the lease file.
            token: the holder's token.
            inherited: whether the lease belongs to the parent process, which releases it.
        """
        self.path, self.token, self.inherited = path, token, inherited
        self._lost: LeaseLost | None = None
        self._released = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    @classmethod
    def acquire(cls, folder: Path) -> "Lease":
        """Acquires the lease of an existing folder.

        Raises:
            UserError: if another process holds it; names the process and the time to wait.
        """
        candidate = Holder.this_process()
        while True:
            number, abandoned = _newest(folder)
            if number:
                refusal = _refusal(folder, number, candidate)
                if refusal:
                    raise UserError(refusal)
            path = _path(folder, number + 1)
            if not _create(path, candidate):
                continue  # another process was faster
            if number and _holder(_path(folder, number)) not in (abandoned, None):
                path.unlink(missing_ok=True)  # the abandoned lease was replaced by a new one in the meantime
                continue
            for older, file in _leases(folder):
                if older <= number:
                    file.unlink(missing_ok=True)
            return cls(path, candidate.token)

    @classmethod
    def inherit(cls, folder: Path, environment: Mapping[str, str] = os.environ) -> "Lease":
        """The lease passed by the parent process with `worker_environment`."""
        number, _, token = environment[INHERITED].partition(":")
        return cls(_path(folder, int(number)), token, inherited=True)

    def worker_environment(self) -> dict[str, str]:
        """Environment variables that pass the lease to a worker process."""
        return {INHERITED: f"{_number(self.path)}:{self.token}"}

    def check(self) -> None:
        """Verifies that this process still holds the lease; must be called before each write.

        Raises:
            LeaseLost: if another process has taken it over, or the file was removed.
            UserError: if the lease file cannot be read.
        """
        for attempt in range(CHECK_ATTEMPTS):
            try:
                holder, (newest, other) = _holder(self.path), _newest(self.path.parent)
                break
            except OSError as error:  # a network file system may fail temporarily
                if attempt == CHECK_ATTEMPTS - 1:
                    reason = reason_of(error)
                    raise UserError(f"{self.path} cannot be read ({reason}): check the run's file system") from error
                time.sleep(1.0)
        if holder is None or holder.token != self.token or newest != _number(self.path):
            taken = other and other.token != self.token
            reason = f"{other} has taken it over" if taken else "its lease file was removed"
            self._lost = LeaseLost(
                f"the run in {self.path.parent} no longer belongs to this process: {reason}; this process stops "
                "without further writes"
            )
        if self._lost is not None:
            raise self._lost

    @property
    def lost(self) -> bool:
        """Whether the last check, in this or the renewing thread, found the lease lost; reads no file."""
        return self._lost is not None

    def release(self) -> None:
        """Stops the renewal and removes the lease file, unless the lease is lost or inherited."""
        self._released.set()
        self._renewing.join()
        with suppress(LeaseLost, OSError):
            self.check()
            if not self.inherited:
                self.path.unlink()

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            try:
                self.check()
                os.utime(self.path)
            except LeaseLost:
                return
            except OSError:  # a network file system may fail temporarily
                continue


def refusal_of(folder: Path) -> str | None:
    """The reason why the folder's lease cannot be acquired now, in one sentence; None if it can."""
    number, _ = _newest(folder)
    return _refusal(folder, number, Holder.this_process()) if number else None


def _refusal(folder: Path, number: int, candidate: Holder) -> str | None:
    path = _path(folder, number)
    holder, age = _holder(path), _age(path)
    if age is None or age >= EXPIRY_SECONDS:
        return None
    expiry = EXPIRY_SECONDS
    if holder is not None and holder.is_requeued_as(candidate):
        return None
    if holder is not None and holder.has_ended():
        # with another boot id it may also run on another host with the same name
        expiry = 0.0 if holder.boot == _boot_id() else REBOOT_SECONDS
    if age >= expiry:
        return None
    writer = str(holder) if holder else "another process"
    wait = max(1, round(expiry - age))
    return (
        f"the run in {folder} is being written by {writer}: wait until that process ends or stop it; if it no longer "
        f"exists, try again in {wait} s"
    )


def _newest(folder: Path) -> tuple[int, Holder | None]:
    """Number and holder of a folder's lease; number 0 if there is none, holder None if the file is being written."""
    number = max((number for number, _ in _leases(folder)), default=0)
    return number, _holder(_path(folder, number)) if number else None


def _leases(folder: Path) -> Iterator[tuple[int, Path]]:
    if folder.is_dir():
        for path in list(folder.glob(f"{PREFIX}*")):
            if path.name.removeprefix(PREFIX).isdecimal():
                yield _number(path), path


def _path(folder: Path, number: int) -> Path:
    return folder / f"{PREFIX}{number}"


def _number(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))


def _holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _create(path: Path, holder: Holder) -> bool:
    """Creates a lease file; returns False if it exists already."""
    temporary = path.with_name(f"{PREFIX}new-{holder.token}")
    try:
        temporary.write_text(json.dumps(asdict(holder)) + "\n", encoding="utf-8")
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        try:  # no hard links on this file system
            with path.open("x", encoding="utf-8") as file:
                file.write(temporary.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _age(path: Path) -> float | None:
    """Seconds since a file was written, by the clock of its file system; None if the file doesn't exist."""
    touched = path.with_name(f"{PREFIX}clock-{secrets.token_hex(8)}")
    try:
        touched.touch()
        return touched.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        touched.unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    """Whether a process is running on this host; zombies are not."""
    status = _status(pid)
    if status is not None:
        return status[0] not in "ZX"
    if (_PROC / "self").exists():
        return False
    if sys.platform == "win32":
        return True  # unknown: there, os.kill with signal 0 interrupts the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str | None:
    status = _status(pid)
    return None if status is None else status[19]


def _status(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat after the program's name; None if there is no such file."""
    text = _read(_PROC / str(pid) / "stat")
    return None if text is None else text.rpartition(")")[2].split()


def _pid_namespace() -> str | None:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
