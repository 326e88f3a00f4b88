"""Checks of the settings of the group `trainer`, before any data are read."""

import os
import re

import torch

from sluice.config.arguments import check_arguments
from sluice.errors import UserError
from sluice.plain import Plain

MANAGED = {
    "logger": "set the group logger",
    "callbacks": "set the group callbacks",
    "plugins": "leave it out",
    "default_root_dir": "set paths.output_dir",
    "enable_checkpointing": "leave it out, checkpoints are always saved",
    "use_distributed_sampler": "leave it out, Sluice distributes the batches itself",
    "fast_dev_run": "use debug=fast",
    "overfit_batches": "use trainer.limit_train_batches",
    "barebones": "leave it out",
    "reload_dataloaders_every_n_epochs": "leave it out",
    "model_registry": "leave it out",
    "limit_predict_batches": "leave it out",
}
"""Arguments of the Trainer that Sluice sets itself or does not support, and what to do instead."""
AT_LEAST = {
    "max_epochs": 1,
    "accumulate_grad_batches": 1,
    "log_every_n_steps": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "min_epochs": 1,
    "min_steps": 1,
    "num_sanity_val_steps": 0,
}
"""Smallest values of whole numbers."""
OPTIONAL = ("min_epochs", "min_steps")
"""Those of them that may be null."""
LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "val_check_interval")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
PROCESSES_PER_CORE = 4
"""Maximum number of processes per CPU core; more are probably a mistake."""
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")


def check_trainer_settings(spec: Plain) -> None:
    """Rejects settings that Lightning would ignore, misinterpret or fail on later.

    Args:
        spec: the group `trainer`.

    Raises:
        UserError: for the first such setting.
    """
    for key, instead in MANAGED.items():
        if key in spec:
            raise UserError(f"trainer.{key} cannot be set: {instead}")
    for key, least in AT_LEAST.items():
        if key in spec and not (spec[key] is None and key in OPTIONAL):
            _check_whole(key, spec[key], least)
    for key in LIMITS:
        _check_limit(key, spec.get(key))
    if spec.get("max_steps", -1) != -1:
        _check_whole("max_steps", spec["max_steps"], 1, ", or -1 for no limit")
    clip = spec.get("gradient_clip_val")
    if clip is not None and (isinstance(clip, bool) or not isinstance(clip, int | float) or clip <= 0):
        raise _refused("gradient_clip_val", clip, "a number above 0, or null for no clipping")
    _check_duration(spec.get("max_time"))
    if spec.get("min_epochs") is not None and spec["min_epochs"] > spec["max_epochs"]:
        raise _refused("min_epochs", spec["min_epochs"], f"at most trainer.max_epochs={spec['max_epochs']}")
    _check_hardware(spec)
    check_arguments("trainer", _signature(spec), {k: v for k, v in spec.items() if not k.startswith("_")})


def _signature(spec: Plain) -> type:
    from pytorch_lightning import Trainer

    return Trainer


def _check_whole(key: str, value: object, least: int, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _refused(key, value, f"a whole number, at least {least}{otherwise}")


def _check_limit(key: str, value: object) -> None:
    if value is None:
        return
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not whole and not (isinstance(value, float) and 0 < value <= 1):
        raise _refused(key, value, "a whole number of batches, at least 1, or a fraction above 0 and up to 1.0")


def _check_duration(value: object) -> None:
    if value is None or isinstance(value, dict):
        return
    found = _DURATION.fullmatch(str(value))
    if found is None or not any(map(int, found.groups())):
        raise _refused("max_time", value, "a duration above 0 as days:hours:minutes:seconds, such as 00:12:00:00")


def _check_hardware(spec: Plain) -> None:
    accelerator, devices, strategy = spec.get("accelerator"), spec.get("devices"), spec.get("strategy")
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if accelerator in ("gpu", "cuda", "mps") and not has_gpu:
        raise UserError(f"trainer.accelerator={accelerator} cannot be used: there is no GPU here; use trainer=default")
    if accelerator not in ("auto", "cpu", "gpu", "cuda", "mps"):
        raise _refused("accelerator", accelerator, "one of auto, cpu, gpu, cuda, mps")
    if strategy not in STRATEGIES:
        raise _refused("strategy", strategy, f"one of {', '.join(STRATEGIES)}")
    most = PROCESSES_PER_CORE * (os.cpu_count() or 1)
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not has_gpu)
    if on_cpu and isinstance(devices, int) and devices > most:
        raise _refused("devices", devices, f"at most {most} processes on the {os.cpu_count()} cores of this machine")


def _refused(key: str, value: object, expected: str) -> UserError:
    shown = "null" if value is None else value
    return UserError(f"trainer.{key}={shown} cannot be used: it must be {expected}")
