"""GPUs for the runs of a sweep that start at the same time on one machine.

`-m hydra/launcher=submitit_local` starts every run of a sweep at once, each in a process of its own, and sets
CUDA_VISIBLE_DEVICES to "" (or to "0" for all of them with `gpus_per_node=1`). The process that starts the sweep
therefore records the GPUs that it sees. Each run takes as many free ones as `trainer.devices` asks for, and waits until
there are enough.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from hydra.experimental.callback import Callback

from sluice.errors import UserError
from sluice.plain import PlainMapping

log = logging.getLogger(__name__)

GPUS = "SLUICE_GPUS"
"""Names of the GPUs that a sweep may use, as in CUDA_VISIBLE_DEVICES."""
POLL_SECONDS = 1.0
GPU_ACCELERATORS = ("auto", "gpu", "cuda")


class ShareGPUs(Callback):
    """Records the GPUs of this machine before a sweep starts its runs; configured in conf/hydra."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        if str(config.hydra.launcher.get("_target_", "")).endswith("submitit_launcher.LocalLauncher"):
            os.environ.setdefault(GPUS, ",".join(visible_gpus()))


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(index) for index in range(count)]


@contextmanager
def reserve_gpus(trainer: PlainMapping) -> Iterator[int | None]:
    """In a run of a sweep on this machine: takes free GPUs, waiting for them, and shows the process no others.

    Does nothing anywhere else, on a machine without a GPU, and for a run on the CPU. To be entered before CUDA is used.

    Args:
        trainer: the group `trainer`.

    Yields:
        Where `devices` is a list, what to set it to: the process sees its own GPUs only, so their number.

    Raises:
        UserError: if there are fewer GPUs than `devices`, or torch cannot use them: a run that was to use a GPU never
            trains on the CPU instead.
    """
    names = [name for name in os.environ.get(GPUS, "").split(",") if name]
    in_sweep = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    if not (names and in_sweep and trainer.get("accelerator") in GPU_ACCELERATORS):
        yield None
        return
    wanted = _count(trainer.get("devices", 1), len(names))
    if wanted > len(names):
        found = f"{len(names)} GPUs ({', '.join(names)})"
        raise UserError(f"trainer.devices={wanted} cannot be used: this sweep has {found}, ask for fewer")
    with lock_gpus(names, wanted) as own:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        import torch

        if torch.cuda.device_count() < wanted:
            raise UserError(
                f"this run was to use GPU {', '.join(own)}, but torch finds {torch.cuda.device_count()} GPUs with "
                f"CUDA_VISIBLE_DEVICES={','.join(own)}: check the driver, or set trainer=cpu"
            )
        log.info("This run uses GPU %s.", ", ".join(own))
        yield wanted if isinstance(trainer.get("devices"), list) else None


def _count(devices: int | str | list[int], available: int) -> int:
    if devices in ("auto", -1, "-1"):
        return available
    return len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdecimal() else 1


@contextmanager
def lock_gpus(names: list[str], wanted: int, folder: Path | None = None) -> Iterator[list[str]]:
    """Waits until `wanted` GPUs are free and holds them; a process that ends, in whatever way, frees its own.

    Args:
        names: of the GPUs to choose from.
        wanted: how many, at most as many as there are names.
        folder: where the lock files are; None for one in the system's temporary folder, shared by this user's sweeps.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"sluice-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user: delete it, or set TMPDIR to a folder of your own")
    waiting = False
    while True:
        with ExitStack() as stack:
            own = _take(names, wanted, folder, stack)
            if own:
                yield own
                return
        if not waiting:
            log.info("Waiting for a free GPU: %s are in use.", ", ".join(names))
            waiting = True
        time.sleep(POLL_SECONDS)


def _take(names: list[str], wanted: int, folder: Path, stack: ExitStack) -> list[str]:
    """The free GPUs, locked until the stack is closed; none unless there are enough."""
    with _locked(folder / "choosing", wait=True) as choosing:
        assert choosing is not None
        own: list[str] = []
        for name in names:
            lock = folder / f"{name.replace('/', '-')}.lock"
            if len(own) < wanted and stack.enter_context(_locked(lock)) is not None:
                own.append(name)
    return own if len(own) == wanted else []


@contextmanager
def _locked(path: Path, *, wait: bool = False) -> Iterator[IO[str] | None]:
    """The open file, locked; None where another process has locked it."""
    import fcntl  # submitit's local executor runs on POSIX systems only

    with path.open("a", encoding="utf-8") as file:
        locked = False
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            locked = True
        yield file if locked else None
