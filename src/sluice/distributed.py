"""Number of processes of a run, and the rank of this one."""

import os
from collections.abc import Mapping

import torch

from sluice.errors import UserError
from sluice.plain import PlainMapping


def in_slurm_step(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether srun started this process; commands of a batch script are not in a SLURM step."""
    by_torchrun = "LOCAL_RANK" in environment or "TORCHELASTIC_RUN_ID" in environment  # possibly in a SLURM step
    return not by_torchrun and {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS"} <= set(environment)


def started_by_launcher(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, srun or a parent process has started one process per device."""
    return "LOCAL_RANK" in environment or in_slurm_step(environment)


def num_devices(trainer: PlainMapping) -> int:
    """Number of processes on this machine, as given by `trainer.devices`.

    Raises:
        UserError: for an invalid value, or more GPUs than available.
    """
    devices, accelerator = trainer.get("devices", 1), trainer.get("accelerator", "auto")
    gpus = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
    if devices in ("auto", -1, "-1"):
        return max(1, gpus)
    if isinstance(devices, list) and devices:
        return len(devices)
    if not str(devices).isdecimal() or int(devices) < 1:
        shown = "null" if devices is None else devices
        raise UserError(f"trainer.devices={shown} cannot be used: it must be a whole number, at least 1, or auto")
    if gpus and int(devices) > gpus:
        raise UserError(f"trainer.devices={devices} cannot be used: this machine has {gpus} GPUs")
    return int(devices)


def accelerator_of(accelerator: str) -> str:
    """Lightning's accelerator for `trainer.accelerator`: auto is CUDA or the CPU.

    Lightning's own auto also takes Apple's MPS, which lacks float64, in which metrics are summed.
    """
    if accelerator != "auto":
        return accelerator
    return "cuda" if torch.cuda.is_available() else "cpu"


def num_nodes(trainer: PlainMapping) -> int:
    """Number of nodes, as given by `trainer.num_nodes`.

    Raises:
        UserError: for an invalid value.
    """
    nodes = trainer.get("num_nodes") or 1
    if not str(nodes).isdecimal() or int(nodes) < 1:
        raise UserError(f"trainer.num_nodes={nodes} cannot be used: it must be a whole number, at least 1")
    return int(nodes)


def environment_number(name: str, environment: Mapping[str, str] = os.environ, default: int = 0, least: int = 0) -> int:
    """Reads a whole number from an environment variable that a launcher sets.

    Args:
        name: the variable.
        environment: the environment.
        default: value if the variable is not set or empty.
        least: smallest valid number.

    Raises:
        UserError: if it is no such number.
    """
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"the environment variable {name}={text} is not a whole number of at least {least}: unset it")
    return int(text)


def global_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Global rank of this process, from the environment; 0 for a single process."""
    if in_slurm_step(environment):
        return environment_number("SLURM_PROCID", environment)
    return environment_number("RANK", environment)
