"""Checks of the settings of trainer, optimizer, scheduler, callbacks and loggers, before any data are read."""

import importlib.util
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BasePredictionWriter,
    BatchSizeFinder,
    Callback,
    Checkpoint,
    DeviceStatsMonitor,
    EarlyStopping,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelPruning,
    ModelSummary,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.optim.lr_scheduler import LRScheduler

from sluice.callbacks.weight_averaging import TrainingAverage
from sluice.config.fields import LARGEST, shown
from sluice.config.schema import Config
from sluice.errors import UserError
from sluice.lightning_internals import summary_depth
from sluice.plain import Plain
from sluice.targets.instantiate import check_target, construct, factory
from sluice.targets.ranges import CALLBACKS, OPTIMIZERS, SCHEDULES, check_argument_ranges
from sluice.training.trainer import PROFILERS, cluster_environment

log = logging.getLogger(__name__)

MANAGED = {
    "logger": "set the group logger",
    "callbacks": "set the group callbacks",
    "plugins": "leave it out",
    "default_root_dir": "set paths.output_dir",
    "enable_checkpointing": "leave it out, checkpoints are always saved",
    "use_distributed_sampler": "leave it out, Sluice distributes the batches itself",
    "fast_dev_run": "use debug=fast",
    "overfit_batches": "use debug=overfit",
    "barebones": "leave it out",
    "reload_dataloaders_every_n_epochs": "leave it out",
    "model_registry": "leave it out",
    "limit_predict_batches": "leave it out",
    "_partial_": "leave it out",
    "_args_": "leave it out",
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
PATH_NAMES = ("dir", "path", "folder", "file")
"""Ends of the names of arguments that may be the run folder, which is null before it is chosen."""
BUILT_EARLY = ("pytorch_lightning.", "lightning.", "sluice.callbacks.")
"""Packages whose callbacks and loggers write nothing when they are built."""
UNSUPPORTED: dict[type[Callback], str] = {
    LearningRateFinder: "sweep over optimizer.lr with -m",
    BatchSizeFinder: "set task.data.batch_size",
    BaseFinetuning: "use init_from= and embedding.frozen=true",
    ProgressBar: "leave it out, Sluice prints its own progress",
    Timer: "set trainer.max_time",
    ModelPruning: "leave it out",
    BasePredictionWriter: "use sluice predict",
    StochasticWeightAveraging: "use callbacks=[default,swa]",
    WeightAveraging: "use callbacks=[default,ema], or derive it from sluice.callbacks.TrainingAverage",
}
"""Callbacks of Lightning that Sluice doesn't support, and what to do instead."""
LOGGING = (LearningRateMonitor, DeviceStatsMonitor)
"""Callbacks that need a logger."""
TRAIN_METRICS = ("loss", "epoch_loss", "accuracy", "gradient_norm", "learning_rate")
"""Training metrics, without the prefix "train/"."""
PROCESSES_PER_CORE = 4
"""Maximum number of processes per CPU core; more are probably a mistake."""
MAX_DAYS = 10_000
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
    if "max_epochs" not in spec:
        raise UserError("~trainer.max_epochs cannot be used: the number of epochs is needed, set trainer.max_epochs")
    for key in LIMITS:
        _check_limit(key, spec.get(key))
    if spec.get("max_steps", -1) != -1:
        _check_whole("max_steps", spec["max_steps"], 1, ", or -1 for no limit")
    clip = spec.get("gradient_clip_val")
    if clip is not None and (isinstance(clip, bool) or not isinstance(clip, int | float) or clip <= 0):
        raise _refused("gradient_clip_val", clip, "a number above 0, or null for no clipping")
    _check_duration(spec.get("max_time"))
    if spec.get("gradient_clip_algorithm") not in (None, "norm", "value"):
        raise _refused("gradient_clip_algorithm", spec["gradient_clip_algorithm"], "norm, value or null")
    if spec.get("gradient_clip_algorithm") is not None and clip is None:
        raise UserError("trainer.gradient_clip_algorithm has no effect with trainer.gradient_clip_val=null: set both")
    if spec.get("min_epochs") is not None and spec["min_epochs"] > spec["max_epochs"]:
        raise _refused("min_epochs", spec["min_epochs"], f"at most trainer.max_epochs={spec['max_epochs']}")
    most = spec.get("max_steps", -1)
    if spec.get("min_steps") is not None and -1 < most < spec["min_steps"]:
        raise _refused("min_steps", spec["min_steps"], f"at most trainer.max_steps={most}")
    _check_profiler(spec.get("profiler"))
    _check_hardware(spec)


def _check_profiler(value: object) -> None:
    if value is not None and not (isinstance(value, str) and value in PROFILERS):
        raise _refused("profiler", value, f"one of {', '.join(PROFILERS)}, or null")


def check_objects(config: Config) -> None:
    """Builds everything that `_target_` names as far as that is possible without data, and discards it.

    Raises:
        UserError: for an unknown class, or arguments that it rejects.
    """
    _build_trainer(config.trainer)
    check_argument_ranges("optimizer", config.optimizer, OPTIMIZERS, torch.optim.Optimizer)
    optimizer = factory("optimizer", config.optimizer)
    if config.scheduler:
        check_argument_ranges("scheduler", config.scheduler, SCHEDULES, LRScheduler)
        factory("scheduler", config.scheduler, optimizer, config.trainer.get("max_epochs", 0))
    for group, specs, kind in (("callbacks", config.callbacks, Callback), ("logger", config.logger, Logger)):
        for name, spec in (specs or {}).items():
            if spec is not None:
                made = _check_object(f"{group}.{name}", spec, kind)
                _check_callback(f"{group}.{name}", made, has_logger=bool(config.logger))


def _check_callback(key: str, made: object, *, has_logger: bool) -> None:
    """Rejects callbacks of Lightning that would fail in training.

    Args:
        key: the entry of the group.
        made: the callback.
        has_logger: whether a logger is configured.

    Raises:
        UserError: for one without its logger, package or metric.
    """
    if type(made) in (Callback, Checkpoint):
        raise UserError(f"{key} cannot be used: {type(made).__name__} is a base class and does nothing")
    if isinstance(made, LOGGING) and not has_logger:
        raise UserError(f"{key} cannot be used with logger=none: {type(made).__name__} needs a logger")
    if isinstance(made, DeviceStatsMonitor) and importlib.util.find_spec("psutil") is None:
        raise UserError(f"{key} cannot be used: DeviceStatsMonitor needs the package psutil, install it")
    if isinstance(made, ModelSummary) and (depth := summary_depth(made)) < -1:
        raise UserError(f"{key}.max_depth={depth} cannot be used: it must be at least 0, or -1 for all layers")
    monitor = made.monitor if isinstance(made, EarlyStopping | ModelCheckpoint) else None
    if monitor and monitor.startswith("train/") and monitor.removeprefix("train/") not in TRAIN_METRICS:
        known = ", ".join(f"train/{name}" for name in TRAIN_METRICS)
        raise UserError(f"{key}.monitor={monitor} cannot be used: it must be a validation metric, or one of {known}")


def _check_supported(key: str, made: type) -> None:
    """Rejects a class of callbacks that Sluice doesn't support.

    Raises:
        UserError: naming the alternative.
    """
    for kind, instead in UNSUPPORTED.items():
        if issubclass(made, kind) and not issubclass(made, TrainingAverage):
            raise UserError(f"{key} cannot be used: {made.__name__} is not supported, {instead}")


def _check_object(key: str, spec: Plain, kind: type) -> object:
    """Checks the class and arguments of a callback or logger; builds and returns it if that has no side effects."""
    given = spec
    if isinstance(spec, dict):
        if spec.get("_partial_"):
            raise UserError(f"{key}._partial_ cannot be set: leave it out")
        given = {  # the run folder is not known yet
            name: value for name, value in spec.items() if value is not None or not name.endswith(PATH_NAMES)
        }
        check_argument_ranges(key, given, CALLBACKS, kind)
        if str(spec.get("_target_")).startswith(BUILT_EARLY):
            built = construct(key, {**given, "run_dir": "."} if "run_dir" in spec else given, kind)
            _check_supported(key, type(built))
            return built
        given["_partial_"] = True
    make = construct(key, given)
    check_target(key, given, make, kind)
    if isinstance(getattr(make, "func", None), type):
        _check_supported(key, make.func)
        _check_installed(key, make.func)
    return None


def _check_installed(key: str, made: type) -> None:
    """Checks that the packages of a logger, listed in its attribute `requires`, are installed.

    Raises:
        UserError: naming the package, and the extra that installs it.
    """
    missing = [name for name in getattr(made, "requires", ()) if importlib.util.find_spec(name) is None]
    if missing:
        extra = getattr(made, "extra", missing[0])
        install = f"pip install 'sluice-rnn[{extra}]'"
        raise UserError(f"{key} needs the package {missing[0]}: {install}, or choose another logger")


def _build_trainer(spec: Plain) -> None:
    minimal = {"logger": False, "callbacks": [], "enable_checkpointing": False, "enable_progress_bar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run's Trainer repeats them
        try:
            construct(
                "trainer", {**spec, "profiler": None}, kind=pl.Trainer, **minimal, plugins=[*cluster_environment()]
            )
        except RuntimeError as error:
            raise UserError(f"trainer cannot be built: {' '.join(str(error).split())}") from error


@contextmanager
def lightning_errors() -> Iterator[None]:
    """Converts Lightning's errors about settings that it checks only once the data are loaded to UserError."""
    try:
        yield
    except ValueError as error:
        numbers = re.findall(r"\((\d+)\)", str(error))
        if isinstance(error, UserError) or "val_check_interval" not in str(error) or len(numbers) < 2:
            raise
        raise UserError(
            f"trainer.val_check_interval={numbers[0]} exceeds the number of training batches, {numbers[1]}: set a "
            "smaller number, or trainer.check_val_every_n_epoch"
        ) from error
    except MisconfigurationException as error:
        text = " ".join(str(error).split())
        small = re.search(r"to check ([\d.e-]+) of the `(\w+)_dataloader` but [\d.e-]+ \* (\d+) < 1", text)
        if small is None:
            raise UserError(f"the Trainer rejects the settings: {text}") from error
        raise UserError(
            f"trainer.limit_{small[2]}_batches={small[1]} is less than one batch, the split has {small[3]}: set a "
            "whole number of batches"
        ) from error


def _check_whole(key: str, value: object, least: int, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _refused(key, value, f"a whole number, at least {least}{otherwise}")
    if value > LARGEST:
        raise UserError(f"trainer.{key}={value} cannot be used: it is too large")


def _check_limit(key: str, value: object) -> None:
    if value is None:
        return
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not whole and not (isinstance(value, float) and 0 < value <= 1):
        raise _refused(key, value, "a whole number of batches, at least 1, or a fraction above 0 and up to 1.0")


def _check_duration(value: object) -> None:
    if value is None:
        return
    found = _DURATION.fullmatch(str(value))
    numbers = [int(number) for number in found.groups()] if found else []
    if not any(numbers) or numbers[0] > MAX_DAYS or numbers[1] > 23 or max(numbers[2:]) > 59:
        raise _refused("max_time", value, "a duration above 0 as days:hours:minutes:seconds, such as 00:12:00:00")


def _check_hardware(spec: Plain) -> None:
    accelerator, strategy = spec.get("accelerator", "auto"), spec.get("strategy", "auto")
    devices = spec.get("devices", 1)
    has_gpu = torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not has_gpu:
        raise UserError(f"trainer.accelerator={accelerator} cannot be used: no CUDA GPU is available; use trainer=cpu")
    if accelerator not in ("auto", "cpu", "gpu", "cuda"):
        raise _refused("accelerator", accelerator, "one of auto, cpu, gpu, cuda")
    if strategy not in STRATEGIES:
        raise _refused("strategy", strategy, f"one of {', '.join(STRATEGIES)}")
    if accelerator != "cpu" and str(spec.get("precision")).startswith("bf16") and _emulates_bfloat16():
        log.warning(
            "This GPU emulates bfloat16, which is slow: set trainer.precision=32-true or 16-mixed instead of %s.",
            spec["precision"],
        )
    most = PROCESSES_PER_CORE * (os.cpu_count() or 1)
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not has_gpu)
    if on_cpu and isinstance(devices, int) and devices > most:
        raise _refused("devices", devices, f"at most {most} processes on the {os.cpu_count()} cores of this machine")


def _refused(key: str, value: object, expected: str) -> UserError:
    return UserError(f"trainer.{key}={shown(value)} cannot be used: it must be {expected}")


def _emulates_bfloat16() -> bool:
    return torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
