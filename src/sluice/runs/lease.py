"""One writer per run folder: a lease file that names the writing process and is renewed while that process runs.

The lease of a folder is its file `.lease-N` with the highest N. Whoever takes over an abandoned lease N creates
`.lease-N+1`; creating a file that must not exist yet is atomic, so of several processes exactly one succeeds. Ages are
differences of modification times in the same folder, so the clocks of different hosts are never compared.
"""

import errno
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sluice.errors import UserError

PREFIX = ".lease-"
INHERITED = "SLUICE_LEASE"
"""Environment variable that hands a lease to a worker: "number:token"."""
RENEW_SECONDS = 30.0
REBOOT_SECONDS = 2.5 * RENEW_SECONDS
"""Without renewal, after which a lease from before a reboot is free."""
CHECK_ATTEMPTS = 5
EXPIRY_SECONDS = 300.0
"""Age without renewal from which on a lease counts as abandoned."""
_PROC = Path("/proc")


class LeaseLost(UserError):
    """Another process writes to this run's folder now; this one must not."""


@dataclass(frozen=True)
class Holder:
    """The process that a lease names."""

    host: str
    pid: int
    started: str | None = None
    """Start time of the process in clock ticks since boot, which tells it from a later one with the same pid."""
    boot: str | None = None
    """Boot id of the host's kernel."""
    namespace: str | None = None
    """PID namespace: in another container the same pid is another process."""
    job: str | None = None
    """SLURM job id."""
    restarts: int = 0
    """How often SLURM has requeued the job."""
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def this_process(cls, environment: Mapping[str, str] = os.environ) -> "Holder":
        """The running process, with a new token."""
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
        """Whether the process is known to have ended; False where only another host could tell."""
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
    """The right to write to a run's folder; a daemon thread renews it."""

    def __init__(self, path: Path, token: str, *, inherited: bool = False) -> None:
        """
        Args:
            path: the lease file.
            token: the holder's.
            inherited: the parent process releases it, not this one.
        """
        self.path, self.token, self.inherited = path, token, inherited
        self._lost: LeaseLost | None = None
        self._released = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    @classmethod
    def acquire(cls, folder: Path) -> "Lease":
        """Takes the lease of a folder, which must exist.

        Raises:
            UserError: if a process holds it; names the process and says how long to wait.
        """
        own = Holder.this_process()
        while True:
            number, abandoned = _newest(folder)
            if number:
                refusal = _refusal(folder, number, own)
                if refusal:
                    raise UserError(refusal)
            path = _path(folder, number + 1)
            if not _create(path, own):
                continue  # another process was faster
            if number and _holder(_path(folder, number)) not in (abandoned, None):
                path.unlink(missing_ok=True)  # the abandoned lease was replaced by a new one in the meantime
                continue
            for older, file in _leases(folder):
                if older <= number:
                    file.unlink(missing_ok=True)
            return cls(path, own.token)

    @classmethod
    def inherit(cls, folder: Path, environment: Mapping[str, str] = os.environ) -> "Lease":
        """The lease that the parent process handed over with `worker_environment`."""
        number, _, token = environment[INHERITED].partition(":")
        return cls(_path(folder, int(number)), token, inherited=True)

    def worker_environment(self) -> dict[str, str]:
        """Environment variables for the worker that writes on behalf of this process."""
        return {INHERITED: f"{_number(self.path)}:{self.token}"}

    def check(self) -> None:
        """Reads the lease again; to be called before every write.

        Raises:
            LeaseLost: if another process has taken it over, or the file was removed.
        """
        for attempt in range(CHECK_ATTEMPTS):
            try:
                holder, (newest, other) = _holder(self.path), _newest(self.path.parent)
                break
            except OSError as error:  # a network file system may fail for a moment
                if attempt == CHECK_ATTEMPTS - 1:
                    reason = (error.strerror or str(error)).lower()
                    raise UserError(f"{self.path} cannot be read ({reason}): check the disk of the run") from error
                time.sleep(1.0)
        if holder is None or holder.token != self.token or newest != _number(self.path):
            who = f"{other} has taken it over" if other and other.token != self.token else "its lease file was removed"
            self._lost = LeaseLost(
                f"the run in {self.path.parent} no longer belongs to this process: {who}; this process stops without "
                "writing anything more"
            )
        if self._lost is not None:
            raise self._lost

    @property
    def lost(self) -> bool:
        """Whether the last check, which the renewing thread does too, found the lease lost; reads nothing."""
        return self._lost is not None

    def release(self) -> None:
        """Ends the renewing and, unless the lease is lost or the parent's, frees the folder."""
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
            except OSError:  # a file system that doesn't answer now may do so next time
                continue


def refusal_of(folder: Path) -> str | None:
    """Why the folder's lease cannot be taken now, in one sentence; None where it can."""
    number, _ = _newest(folder)
    return _refusal(folder, number, Holder.this_process()) if number else None


def _refusal(folder: Path, number: int, own: Holder) -> str | None:
    path = _path(folder, number)
    holder, age = _holder(path), _age(path)
    if age is None or age >= EXPIRY_SECONDS:
        return None
    expiry = EXPIRY_SECONDS
    if holder is not None and holder.is_requeued_as(own):
        return None
    if holder is not None and holder.has_ended():  # of another boot: or it is on another machine of the same name
        expiry = 0.0 if holder.boot == _boot_id() else REBOOT_SECONDS
    if age >= expiry:
        return None
    who = str(holder) if holder else "another process"
    wait = max(1, round(expiry - age))
    return (
        f"the run in {folder} is being written by {who}: wait until that process ends or stop it; if it no longer "
        f"exists, try again in {wait} s"
    )


def _newest(folder: Path) -> tuple[int, Holder | None]:
    """Number and holder of a folder's lease; 0 where there is none, no holder where the file is being written."""
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
    """Writes a lease file that nobody has written yet; False where somebody has."""
    whole = path.with_name(f"{PREFIX}new-{holder.token}")
    try:
        whole.write_text(json.dumps(asdict(holder)) + "\n", encoding="utf-8")
        path.hardlink_to(whole)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        try:  # no hard links on this file system
            with path.open("x", encoding="utf-8") as file:
                file.write(whole.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    finally:
        whole.unlink(missing_ok=True)
    return True


def _age(path: Path) -> float | None:
    """Seconds since a file was written, by the clock of its file system; None where the file is gone."""
    touched = path.with_name(f"{PREFIX}clock-{secrets.token_hex(8)}")
    try:
        touched.touch()
        return touched.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return None
    finally:
        touched.unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    """Whether a process of this host runs; one that has ended and waits for its parent doesn't."""
    status = _status(pid)
    if status is not None:
        return status[0] not in "ZX"
    if (_PROC / "self").exists():
        return False
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
    """/proc/<pid>/stat behind the program's name; None where there is none."""
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
