"""The Trainer of a run."""

import logging
import os
import warnings

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from sluice.callbacks.averaged_weights import AveragedWeights
from sluice.callbacks.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from sluice.callbacks.progress import ProgressBar, make_progress
from sluice.callbacks.stop_on_nan import StopOnNaN
from sluice.callbacks.training_monitor import TrainingMonitor
from sluice.config.instantiate import construct, construct_all
from sluice.config.schema import Config
from sluice.distributed import LAUNCHED, in_slurm_step
from sluice.errors import UserError
from sluice.files import Guard
from sluice.loggers.csv import CSVLog
from sluice.optim.nt_asgd import NTASGD
from sluice.plain import Plain

log = logging.getLogger(__name__)


def build_trainer(
    config: Config,
    task_callbacks: list[Callback],
    monitor: TrainingMonitor,
    last: LastCheckpoint,
    guard: Guard | None = None,
    first_step: int | None = None,
) -> pl.Trainer:
    """Builds the Trainer with the configured loggers and callbacks, and those that every run has.

    Args:
        config: the configuration.
        task_callbacks: callbacks of the task.
        monitor: counts tokens and logs speed.
        last: writes last.ckpt.
        guard: checked before each write; None on ranks that write nothing.
        first_step: the first step that this process logs; None for a new run.
    """
    run_dir = str(config.paths.run_dir)
    progress = make_progress()
    callbacks: list[Callback] = [
        monitor,
        *task_callbacks,
        progress,
        *construct_all("callbacks", config.callbacks, Callback),
        *([StopOnNaN()] if config.stop_on_nan else []),
        BestCheckpoint(run_dir=run_dir, monitor=config.task.monitor, mode=config.task.mode),
        last,
        *([AveragedWeights()] if _is_nt_asgd(config.optimizer) else []),
    ]
    trainer: pl.Trainer = construct(
        "trainer",
        config.trainer,
        kind=pl.Trainer,
        logger=_loggers(config, guard, first_step) or False,
        callbacks=callbacks,
        default_root_dir=run_dir,
        enable_progress_bar=isinstance(progress, ProgressBar),
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO(guard), *_environment()],
    )
    return trainer


def _loggers(config: Config, guard: Guard | None, first_step: int | None) -> list[Logger]:
    loggers: list[Logger] = construct_all("logger", config.logger, Logger)
    for logger in loggers:
        if isinstance(logger, CSVLog):
            logger.guard = guard
        if first_step is not None and hasattr(logger, "resume_from"):
            logger.resume_from(first_step)
    return loggers


def _is_nt_asgd(optimizer: Plain) -> bool:
    kind = getattr(construct("optimizer", {**optimizer, "_partial_": True}), "func", None)
    return isinstance(kind, type) and issubclass(kind, NTASGD)


def check_trainer_arguments(config: Config) -> None:
    """Builds a Trainer without loggers and callbacks, so that invalid arguments are found before any data are read.

    Raises:
        UserError: for an invalid argument.
    """
    minimal = {"logger": False, "callbacks": [], "enable_checkpointing": False, "enable_progress_bar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run's Trainer repeats them
        try:
            construct("trainer", config.trainer, kind=pl.Trainer, **minimal, plugins=[*_environment()])
        except (ImportError, RuntimeError) as error:
            raise UserError(f"trainer cannot be built: {' '.join(str(error).split())}") from error


def _environment() -> list[ClusterEnvironment]:
    """The cluster environment, where Lightning would choose another one or install its own signal handlers."""
    if LAUNCHED in os.environ:
        return [LightningEnvironment()]
    if in_slurm_step():  # Lightning requires SLURM_NTASKS_PER_NODE, which --ntasks alone doesn't set
        tasks_per_node = int(os.environ["SLURM_NTASKS"]) // int(os.environ.get("SLURM_NNODES", "1"))
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(tasks_per_node))
        return [SLURMEnvironment(auto_requeue=False)]
    if "SLURM_JOB_ID" in os.environ and "LOCAL_RANK" not in os.environ:
        return [LightningEnvironment()]  # a batch script without srun: one process
    return []


def check_monitors(config: Config, known: list[str]) -> None:
    """Checks before training that validation logs the monitored metrics.

    Args:
        config: the configuration.
        known: the metrics that validation logs; empty if they are not known in advance.

    Raises:
        UserError: for a metric that validation doesn't log.
    """
    monitors = {"task.monitor": config.task.monitor}
    for name, spec in (config.callbacks or {}).items():
        if isinstance(spec, dict) and str(spec.get("monitor", "")).startswith("val/"):
            monitors[f"callbacks.{name}.monitor"] = spec["monitor"]
    for key, metric in monitors.items():
        if known and metric not in known:
            raise UserError(f"{key}={metric} cannot be used: it must be one of {', '.join(known)}")


def check_trainer(spec: Plain) -> None:
    """Refuses arguments of the Trainer that Lightning would accept but fail on later.

    Raises:
        UserError: for an invalid number of epochs or batches, or an unavailable accelerator.
    """
    epochs, accelerator = spec.get("max_epochs"), spec.get("accelerator")
    if not isinstance(epochs, int) or epochs < 1:
        raise UserError(f"trainer.max_epochs={epochs} cannot be used: it must be a whole number, at least 1")
    for key in ("limit_train_batches", "limit_val_batches", "limit_test_batches"):
        limit = spec.get(key)
        if limit is not None and (not isinstance(limit, int | float) or limit <= 0):
            raise UserError(
                f"trainer.{key}={limit} cannot be used: it must be a number of batches or a fraction above 0"
            )
    if accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(f"trainer.accelerator={accelerator} cannot be used: no GPU is available; use trainer=default")
    precision = str(spec.get("precision"))
    if accelerator != "cpu" and precision.startswith("bf16") and _emulates_bfloat16():
        log.warning(
            "This GPU emulates bfloat16, which is slow: set trainer.precision=32-true or 16-mixed instead of %s.",
            precision,
        )


def _emulates_bfloat16() -> bool:
    return torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
