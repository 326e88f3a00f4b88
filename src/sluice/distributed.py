"""How many processes a run has, and which of them this one is."""

import os
from collections.abc import Mapping

import torch

from sluice.errors import UserError
from sluice.plain import PlainMapping

LAUNCHED = "SLUICE_LAUNCHED"
"""Environment variable: set in the worker processes that a run has started itself."""


def in_slurm_step(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether srun started this process; a batch script's own commands are not in a step."""
    by_another = "LOCAL_RANK" in environment or "TORCHELASTIC_RUN_ID" in environment  # torchrun, started by srun
    return not by_another and {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS"} <= set(environment)


def started_by_launcher(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody else (torchrun, srun, a parent of our own) has started one process a device."""
    return "LOCAL_RANK" in environment or in_slurm_step(environment)


def devices_wanted(trainer: PlainMapping) -> int:
    """Processes that the trainer's devices ask for on this machine.

    Raises:
        UserError: for devices that are none, or more GPUs than there are.
    """
    devices, accelerator = trainer.get("devices", 1), trainer.get("accelerator", "auto")
    gpus = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
    if devices in ("auto", -1, "-1"):
        return max(1, gpus)
    if isinstance(devices, list) and devices:
        return len(devices)
    if not str(devices).isdecimal() or int(devices) < 1:
        raise UserError(f"trainer.devices={devices} cannot be used: it must be a whole number, at least 1, or auto")
    if gpus and int(devices) > gpus:
        raise UserError(f"trainer.devices={devices} cannot be used: there are {gpus} GPUs here")
    return int(devices)


def nodes_wanted(trainer: PlainMapping) -> int:
    """
    Raises:
        UserError: for a number of nodes that is none.
    """
    nodes = trainer.get("num_nodes") or 1
    if not str(nodes).isdecimal() or int(nodes) < 1:
        raise UserError(f"trainer.num_nodes={nodes} cannot be used: it must be a whole number, at least 1")
    return int(nodes)


def global_rank(environment: Mapping[str, str] = os.environ) -> int:
    """This process's rank as whoever started it says; 0 for a process alone."""
    if in_slurm_step(environment):
        return int(environment["SLURM_PROCID"])
    return int(environment.get("RANK", "0"))
