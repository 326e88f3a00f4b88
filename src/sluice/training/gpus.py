"""GPU allocation for the parallel runs of a sweep on one machine.

`-m hydra/launcher=submitit_local` starts all runs of a sweep at once, each in its own process, and sets
CUDA_VISIBLE_DEVICES to "" (with `gpus_per_node=1`, to "0" for all of them). The process that starts the sweep therefore
records its visible GPUs. Each run waits until `trainer.devices` of them are free and locks them.
"""

import getpass
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback

from sluice.errors import UserError
from sluice.plain import PlainMapping

log = logging.getLogger(__name__)

GPUS = "SLUICE_GPUS"
"""Environment variable with the GPUs that a sweep may use, in the format of CUDA_VISIBLE_DEVICES."""
POLL_SECONDS = 1.0
GPU_ACCELERATORS = ("auto", "gpu", "cuda")


class RecordGPUs(Callback):
    """Records the visible GPUs before a sweep starts its runs; configured in conf/hydra.

    Jobs of submitit are started by `python -m`, which would put the working directory before installed modules; since
    Python 3.11 PYTHONSAFEPATH prevents that.
    """

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        launcher = str(config.hydra.launcher.get("_target_", ""))
        if "submitit_launcher" in launcher:
            os.environ.setdefault("PYTHONSAFEPATH", "1")
        if launcher.endswith("submitit_launcher.LocalLauncher"):
            os.environ.setdefault(GPUS, ",".join(visible_gpus()))


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(index) for index in range(count)]


@contextmanager
def reserve_gpus(trainer: PlainMapping) -> Iterator[int | None]:
    """In a run of a local sweep, waits for free GPUs, locks them and makes only these visible to the process.

    Does nothing outside a local sweep, without GPUs, and for runs on the CPU. Must be entered before CUDA is used.

    Args:
        trainer: the group `trainer`.

    Yields:
        The number of GPUs if `devices` is a list, whose indices no longer apply; otherwise None.

    Raises:
        UserError: if there are fewer GPUs than `devices`, or torch cannot use them (there is no fallback to the CPU).
    """
    names = [name for name in os.environ.get(GPUS, "").split(",") if name]
    in_sweep = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    if not (names and in_sweep and trainer.get("accelerator") in GPU_ACCELERATORS):
        yield None
        return
    wanted = _count(trainer.get("devices", 1), len(names))
    if wanted > len(names):
        available = f"{len(names)} GPUs ({', '.join(names)})"
        raise UserError(f"trainer.devices={wanted} cannot be used: this sweep has {available}, set a smaller number")
    with lock_gpus(names, wanted) as locked:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(locked)
        import torch

        if torch.cuda.device_count() < wanted:
            raise UserError(
                f"torch finds {torch.cuda.device_count()} GPUs with CUDA_VISIBLE_DEVICES={','.join(locked)}, this run "
                f"needs {wanted}: check the driver, or set trainer=cpu"
            )
        log.info("Using GPU %s.", ", ".join(locked))
        yield wanted if isinstance(trainer.get("devices"), list) else None


def _count(devices: int | str | list[int], available: int) -> int:
    if devices in ("auto", -1, "-1"):
        return available
    return len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdecimal() else 1


@contextmanager
def lock_gpus(names: list[str], wanted: int, folder: Path | None = None) -> Iterator[list[str]]:
    """Waits until `wanted` GPUs are free and locks them; the locks are released when the process ends.

    Args:
        names: the GPUs to choose from.
        wanted: number of GPUs, at most `len(names)`.
        folder: folder of the lock files; None for one in the system's temporary folder, shared by this user's sweeps.

    Raises:
        UserError: if the folder belongs to another user.
    """
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = folder or Path(tempfile.gettempdir()) / f"sluice-gpus-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != user:
        raise UserError(f"{folder} belongs to another user: delete it, or set TMPDIR to a folder of your own")
    waiting = False
    while True:
        with ExitStack() as stack:
            locked = _lock_free(names, wanted, folder, stack)
            if locked:
                yield locked
                return
        if not waiting:
            log.info("Waiting for a free GPU of %s.", ", ".join(names))
            waiting = True
        time.sleep(POLL_SECONDS)


def _lock_free(names: list[str], wanted: int, folder: Path, stack: ExitStack) -> list[str]:
    """Locks `wanted` free GPUs until the stack is closed; returns none if there are fewer."""
    with FileLock(folder / "choosing", thread_local=False):
        locked: list[str] = []
        for name in names:
            lock = FileLock(folder / f"{name.replace('/', '-')}.lock", blocking=False, thread_local=False)
            with suppress(Timeout):
                if len(locked) < wanted:
                    stack.enter_context(lock)
                    locked.append(name)
    return locked if len(locked) == wanted else []
