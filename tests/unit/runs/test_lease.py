"""The lease of a run folder."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import UserError
from sluice.runs import lease
from sluice.runs.lease import EXPIRY_SECONDS, Holder, Lease, LeaseLost, refusal_of

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def rewrite(held: Lease, **changes: Any) -> None:
    """Rewrites the lease as that of another holder."""
    holder = json.loads(held.path.read_text(encoding="utf-8"))
    held.path.write_text(json.dumps({**holder, **changes}), encoding="utf-8")


def backdate(held: Lease, seconds: float) -> None:
    """Backdates the last renewal of the lease."""
    past = time.time() - seconds
    os.utime(held.path, (past, past))


def test_held_folder_is_refused_until_released(folder: Path) -> None:
    held = Lease.acquire(folder)
    with pytest.raises(UserError, match=rf"process {os.getpid()} on .*try again in (299|300) s"):
        Lease.acquire(folder)
    assert refusal_of(folder) is not None
    held.release()
    assert list(folder.iterdir()) == []
    assert refusal_of(folder) is None
    Lease.acquire(folder).release()


def test_only_one_of_many_concurrent_starts_succeeds(folder: Path) -> None:
    won: list[Lease] = []
    start = threading.Barrier(8)

    def acquire() -> None:
        start.wait()
        with suppress(UserError):
            won.append(Lease.acquire(folder))

    threads = [threading.Thread(target=acquire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].check()
    won[0].release()


def test_only_one_of_many_concurrent_takeovers_succeeds(folder: Path) -> None:
    asleep = Lease.acquire(folder)
    backdate(asleep, EXPIRY_SECONDS + 60)
    test_only_one_of_many_concurrent_starts_succeeds(folder)
    asleep.release()


HOLD = """
import sys, time
from pathlib import Path
from sluice.runs.lease import Lease
Lease.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_lease_of_a_killed_process_is_taken_over(folder: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert f"process {other.pid} on" in str(refusal_of(folder))
    os.kill(other.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while refusal_of(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    Lease.acquire(folder).release()  # ended, but not yet reaped by its parent
    other.communicate()


def test_reused_pid_is_not_the_holder(folder: Path) -> None:
    held = Lease.acquire(folder)
    rewrite(held, started="1")
    assert refusal_of(folder) is None
    held.release()


def test_lease_from_before_a_reboot_is_taken_over(folder: Path) -> None:
    held = Lease.acquire(folder)
    rewrite(held, boot="another")
    assert "try again in 75 s" in str(refusal_of(folder)), "it may be another machine of the same name, which renews"
    backdate(held, 76)
    assert refusal_of(folder) is None
    held.release()


@pytest.mark.parametrize("elsewhere", [{"host": "another", "boot": "another"}, {"namespace": "pid:[1]"}])
def test_lease_of_another_host_is_refused_until_expiry(folder: Path, elsewhere: dict[str, str]) -> None:
    held = Lease.acquire(folder)
    rewrite(held, **elsewhere, pid=1)
    backdate(held, EXPIRY_SECONDS - 20)
    assert "try again in 20 s" in str(refusal_of(folder))
    backdate(held, EXPIRY_SECONDS + 1)
    assert refusal_of(folder) is None
    held.release()


@pytest.mark.parametrize(
    ("job", "restarts", "refused"), [("7", "1", False), ("7", None, True), ("8", "1", True), (None, None, True)]
)
def test_requeued_job_takes_over_its_own_lease(
    folder: Path, monkeypatch: pytest.MonkeyPatch, job: str | None, restarts: str | None, refused: bool
) -> None:
    held = Lease.acquire(folder)
    rewrite(held, host="another", job="7", restarts=0)
    if job is not None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    if restarts is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    assert (refusal_of(folder) is not None) == refused
    held.release()


def test_suspended_holder_stops_after_a_takeover(folder: Path) -> None:
    asleep = Lease.acquire(folder)
    backdate(asleep, 360)
    asleep.check()
    awake = Lease.acquire(folder)
    with pytest.raises(LeaseLost, match=f"process {os.getpid()} on .* has taken it over"):
        asleep.check()
    assert asleep.lost
    asleep.release()
    awake.check()
    awake.release()


def test_suspended_holder_stops_after_another_run(folder: Path) -> None:
    asleep = Lease.acquire(folder)
    backdate(asleep, 360)
    Lease.acquire(folder).release()
    with pytest.raises(LeaseLost, match="lease file was removed"):
        asleep.check()
    third = Lease.acquire(folder)
    with pytest.raises(LeaseLost):
        asleep.check()
    asleep.release()
    third.check()
    third.release()


def test_lease_is_renewed_and_its_loss_detected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    held = Lease.acquire(folder)
    backdate(held, 200)
    wait_until(lambda: time.time() - held.path.stat().st_mtime < 100)
    held.path.unlink()
    wait_until(lambda: held.lost)
    held.release()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.005)


def test_worker_uses_its_parents_lease(folder: Path) -> None:
    parents = Lease.acquire(folder)
    workers = Lease.inherit(folder, parents.worker_environment())
    workers.check()
    workers.release()
    parents.check()
    parents.release()


def test_only_one_start_succeeds_without_hard_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*ignored: Any) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    test_only_one_of_many_concurrent_starts_succeeds(folder)


def test_lease_being_written_is_respected(folder: Path) -> None:
    (folder / ".lease-1").touch()
    assert "written by another process" in str(refusal_of(folder))


def test_current_process_has_not_ended() -> None:
    assert not Holder.this_process().has_ended()
