"""The Trainer of a run."""

import logging
import os

import pytorch_lightning as pl
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from sluice.callbacks.averaged_weights import AveragedWeights
from sluice.callbacks.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from sluice.callbacks.progress import make_progress
from sluice.callbacks.stop_on_nan import StopOnNaN
from sluice.callbacks.training_monitor import TrainingMonitor
from sluice.config.schema import Config
from sluice.distributed import accelerator_of, in_slurm_step
from sluice.files import Guard
from sluice.loggers.csv import CSVLog
from sluice.optim.nt_asgd import NTASGD
from sluice.plain import Plain
from sluice.program import LAUNCHED
from sluice.targets.instantiate import construct, construct_all

log = logging.getLogger(__name__)

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}

PROFILE = "profile"
"""Part of the names of the profiler's reports, fit-profile.txt and test-profile.txt."""


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
    run_dir, spec = str(config.paths.run_dir), dict(config.trainer)
    spec["accelerator"] = accelerator_of(spec.get("accelerator", "auto"))
    progress = make_progress(config.task.monitor, shows_bar=spec.pop("enable_progress_bar", True))
    callbacks: list[Callback] = [
        monitor,
        *task_callbacks,
        *progress,
        *construct_all("callbacks", config.callbacks, Callback),
        *([StopOnNaN(config.task.monitor)] if config.stop_on_nan else []),
        BestCheckpoint(run_dir=run_dir, monitor=config.task.monitor, mode=config.task.mode),
        last,
        *([AveragedWeights()] if is_nt_asgd(config.optimizer) else []),
    ]
    trainer: pl.Trainer = construct(
        "trainer",
        {**spec, "profiler": make_profiler(spec.get("profiler"), run_dir)},
        kind=pl.Trainer,
        logger=_loggers(config, guard, first_step) or False,
        callbacks=callbacks,
        default_root_dir=run_dir,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO(guard), *cluster_environment()],
    )
    return trainer


def make_profiler(name: str | None, run_dir: str) -> Profiler | None:
    """Creates the profiler of trainer.profiler, which writes to a file in the run folder."""
    return None if name is None else PROFILERS[name](dirpath=run_dir, filename=PROFILE)


def _loggers(config: Config, guard: Guard | None, first_step: int | None) -> list[Logger]:
    loggers: list[Logger] = construct_all("logger", config.logger, Logger)
    for logger in loggers:
        if isinstance(logger, CSVLog):
            logger.guard = guard
        if first_step is not None and hasattr(logger, "resume_from"):
            logger.resume_from(first_step)
    return loggers


def is_nt_asgd(optimizer: Plain) -> bool:
    """Returns whether the settings of the optimizer name NT-ASGD, or a subclass."""
    kind = getattr(construct("optimizer", {**optimizer, "_partial_": True}), "func", None)
    return isinstance(kind, type) and issubclass(kind, NTASGD)


def cluster_environment() -> list[ClusterEnvironment]:
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
