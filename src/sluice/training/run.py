"""A complete training run: preparation, training, test and results."""

import logging
import os
import shlex
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn, cast

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from sluice.callbacks.checkpoints import LastCheckpoint, catch_signals
from sluice.callbacks.training_monitor import TrainingMonitor
from sluice.composition.compose import checked
from sluice.composition.given import check_given, check_used
from sluice.config.fields import freeze, shown
from sluice.config.schema import Config, schema_name
from sluice.config.user_code import CELL, TASK, keep_source
from sluice.distributed import global_rank, num_devices, started_by_launcher
from sluice.errors import UserError
from sluice.exit_codes import INTERRUPTED
from sluice.modules.base import TaskModule
from sluice.plain import Plain
from sluice.program import STARTED_AT
from sluice.recipes.registry import recipe_of
from sluice.recurrent.malloc import keep_freed_memory
from sluice.runs.checkpoint import network_weights, read_checkpoint
from sluice.runs.folder import job_id
from sluice.runs.logs import close_logs, log_to, start_logging
from sluice.runs.report import print_results, relative
from sluice.runs.results import read_results, write_results
from sluice.signals import find_signal
from sluice.terminal import FILE_ONLY
from sluice.training.claim import ClaimedFolder
from sluice.training.data_checks import write_split_hashes
from sluice.training.gpus import reserve_gpus
from sluice.training.launch import check_launch, launch
from sluice.training.prepare import Interrupted, Prepared, complete_config, make_paths_absolute, prepared_run
from sluice.training.profiles import ProfilerReports
from sluice.training.results import closed_loggers, log_final_metrics, log_settings, num_parameters, results_before_test
from sluice.training.resume import AlreadyDone
from sluice.training.slurm import requeue
from sluice.training.trainer import build_trainer
from sluice.training.trainer_checks import check_trainer_settings, lightning_errors

log = logging.getLogger(__name__)

WITHOUT_REPEATED_TESTS: Plain = {"extra_beams": [], "eval_modes": ["plain"]}
"""Settings of tasks that repeat the test on its whole split after the test loop, and their values that do not."""

__all__ = ["AlreadyDone", "Interrupted", "Trained", "run", "train"]


@dataclass(frozen=True)
class Trained:
    """The outcome of a training run."""

    config: Config
    module: TaskModule
    results: Plain
    """Contents of results.json."""
    folder: Path


def train(
    composed: DictConfig,
    *,
    sweep_number: int | None = None,
    overrides: Sequence[str] | None = None,
    started: float | None = None,
) -> Trained:
    """Trains, tests the best checkpoint once, and writes results to the run folder.

    With several devices, starts one worker process per device unless srun or torchrun has started them.

    Args:
        composed: the configuration composed by Hydra.
        sweep_number: the run's number in a sweep, from 1 on; None outside a sweep.
        overrides: the overrides that it was composed from, stored for resuming.
        started: time.monotonic() when the command started, from which its minutes are counted; None for now.

    Raises:
        UserError: for invalid settings or data.
        Interrupted: after Ctrl-C or a stop signal.
    """
    started = time.monotonic() if started is None else started
    check_given(composed, overrides or ())
    make_paths_absolute(composed)
    config = checked(composed)
    start_logging()
    check_used(composed, overrides or (), in_sweep=sweep_number is not None)
    with reserve_gpus(config.trainer) as devices:
        if devices is not None:
            composed.trainer.devices = devices
            config = checked(composed)
        check_trainer_settings(config.trainer)
        check_launch(config.trainer)
        workers = num_devices(config.trainer)
        alone = workers == 1 or started_by_launcher()
        prepared = prepared_run(
            config, lambda folder, sample: complete_config(composed, folder, sample), sweep_number, overrides
        )
        return _run_prepared(config, prepared, started) if alone else _run_workers(prepared, workers, started)


def run(config: Config) -> Trained:
    """Trains in a worker process, with the complete configuration passed by its parent; see `train`."""
    start_logging()

    def complete(folder: Path, sample: bool) -> Config:
        freeze(config)
        return config

    started = float(os.environ.get(STARTED_AT) or time.monotonic())
    return _run_prepared(config, prepared_run(config, complete, None, None), started)


def _run_prepared(early: Config, preparing: AbstractContextManager[Prepared], started: float) -> Trained:
    """Trains in this process, which may be one of several."""
    keep_freed_memory()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision(early.matmul_precision)
    with catch_signals(find_signal(early.checkpoint.stop_signal)) as signals, preparing as prepared:
        config, claim = prepared.config, prepared.claim
        if claim.lease is not None:
            write_split_hashes(claim.folder, prepared.data.identity)
            keep_source(config.model.module, claim.folder, CELL)
            keep_source(config.task.module, claim.folder, TASK)
            log_to(claim.folder)
        last = LastCheckpoint(
            run_dir=str(claim.folder),
            **asdict(config.checkpoint),
            early_signals=signals,
            guard=claim.lease,
            started=started,
        )
        try:
            with lightning_errors():
                return _train_in(prepared, last)
        except Exception as error:
            if not isinstance(error, UserError | Interrupted):
                error.traceback_path = _write_traceback(claim.folder)  # type: ignore[attr-defined]
            raise
        finally:
            last.restore_signal_handlers()
            close_logs()


def _run_workers(preparing: AbstractContextManager[Prepared], workers: int, started: float) -> Trained:
    """Prepares the run, so that errors are reported once, and starts a worker for each device."""
    with preparing as (config, _, module, claim):
        plain = {**asdict(config), "resume": None if claim.resume_point is None else str(claim.folder)}
        assert claim.lease is not None
        log_to(claim.folder)  # what has been logged so far; the worker of rank 0 appends to it
        close_logs()
        environment = claim.lease.worker_environment() | {STARTED_AT: str(started)}
        code = launch(plain, schema_name(config.task), claim.folder, workers, environment)
        if code == INTERRUPTED:
            raise Interrupted(claim.folder)
        if code:
            raise SystemExit(code)
        module.network.load_state_dict(network_weights(read_checkpoint(claim.folder)[1]))
        return Trained(config, module, read_results(claim.folder), claim.folder)


def _train_in(prepared: Prepared, last: LastCheckpoint) -> Trained:
    config, data, _, claim = prepared
    monitor, resume_point = TrainingMonitor(), claim.resume_point
    trainer = build_trainer(
        config,
        recipe_of(config).callbacks(config, data),
        monitor,
        last,
        claim.lease,
        resume_point and resume_point.next_logged_step,
    )
    with closed_loggers(trainer):
        return _fit_and_test(prepared, trainer, monitor, last)


def _fit_and_test(prepared: Prepared, trainer: pl.Trainer, monitor: TrainingMonitor, last: LastCheckpoint) -> Trained:
    config, data, module, claim = prepared
    recipe = recipe_of(config)
    profiles = ProfilerReports(claim.folder)
    log.info("%s parameters; run folder: %s", f"{num_parameters(module):,}", relative(claim.folder))
    checkpoint = None if claim.resume_point is None else str(claim.resume_point.checkpoint)
    if checkpoint:
        log.info("Resuming from %s.", checkpoint)
    log_settings(trainer, config)
    finished = _completed(
        trainer, lambda: trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    )
    if last.stopped_by_signal:
        _stop(last, trainer, claim.folder)
    results = results_before_test(config, data, module, monitor.per_second, trainer)
    finished = finished and _completed(trainer, lambda: results.update(_test(trainer, module, data, claim.folder)))
    if not finished:
        results["interrupted"] = True
    if finished and trainer.is_global_zero:
        results |= recipe.extra_metrics(_without_repeated_tests(config), data, module)
    results["minutes"] = last.seconds / 60
    if trainer.is_global_zero:
        _finish(claim, config, module, results, trainer, interrupted=not finished)
        profiles.print()
    if not finished:
        raise Interrupted(claim.folder)
    return Trained(config, module, results, claim.folder)


def _without_repeated_tests(config: Config) -> Config:
    """Returns the configuration without the tests that would ignore trainer.limit_test_batches, if it is set."""
    limit = config.trainer.get("limit_test_batches")
    if limit is None or (isinstance(limit, float) and limit == 1):
        return config
    skipped: Plain = {
        name: value for name, value in WITHOUT_REPEATED_TESTS.items() if getattr(config.task, name, value) != value
    }
    for name in skipped:
        log.info(
            "Skipped the further tests of task.%s=%s: they need the whole test split, which "
            "trainer.limit_test_batches=%s limits.",
            name,
            shown(getattr(config.task, name)),
            limit,
        )
    return replace(config, task=replace(config.task, **skipped))


def _stop(last: LastCheckpoint, trainer: pl.Trainer, folder: Path) -> NoReturn:
    """Ends a run after a signal; a run named after its SLURM job is requeued.

    Args:
        last: the checkpoint callback that received the signal.
        trainer: the Trainer.
        folder: the run folder.

    Raises:
        Interrupted: always.
    """
    assert last.stopped_by_signal is not None
    log.info("Stopped by %s.", last.stopped_by_signal.name)
    job = job_id() if last.stopped_by_signal == last.stop_signal else None
    if trainer.is_global_zero and job and job in folder.name:
        requeue()
    trainer.strategy.barrier()  # requeue before any rank exits: srun may kill the other ranks when one exits
    raise Interrupted(folder)


def _finish(
    claim: ClaimedFolder, config: Config, module: TaskModule, results: Plain, trainer: pl.Trainer, *, interrupted: bool
) -> None:
    """Writes and prints the results.

    Args:
        claim: the run folder and its lease.
        config: the configuration.
        module: the trained LightningModule.
        results: contents of results.json.
        trainer: the Trainer.
        interrupted: whether the run was interrupted before its test had finished.
    """
    recipe = recipe_of(config)
    if claim.lease is not None:
        claim.lease.check()
    if not interrupted:
        recipe.write_artifacts(module, claim.folder)  # before results.json, which marks the run as finished
    log_final_metrics(trainer, config, results)
    write_results(claim.folder, results)
    code, remedy = _named_code(config), _real_data(config)
    shown = partial(
        print_results, results, claim.folder, recipe.usage, code=code, remedy=remedy, interrupted=interrupted
    )
    shown()
    with redirect_stdout(StringIO()) as text:
        shown()
    for line in text.getvalue().splitlines():
        log.info("%s", line, extra=FILE_ONLY)
    if not interrupted:
        recipe.print_summary(module)


def _real_data(config: Config) -> str:
    """How to train on real data."""
    named = hasattr(getattr(config.task, "data", None), "source")
    return "put the real corpus into paths.data_dir" if named else "set task.data.path to your data"


def _named_code(config: Config) -> str:
    """The arguments for user code files that a command needs to load the run's model."""
    named = {CELL: config.model.module, TASK: config.task.module}
    return "".join(f" {setting}={shlex.quote(path)}" for setting, path in named.items() if path is not None)


def _completed(trainer: pl.Trainer, stage: Callable[[], object]) -> bool:
    """Runs a stage of the Trainer; returns False if Ctrl-C ended it.

    Raises:
        UserError: if validation doesn't log the monitored metric.
    """
    try:
        stage()
    except SystemExit:
        if not trainer.interrupted:
            raise
        return False
    except MisconfigurationException as error:
        if "could not find the monitored key" not in str(error):
            raise
        logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/"))) or "nothing"
        monitor = cast(TaskModule, trainer.lightning_module).monitor.metric
        raise UserError(f"task.monitor={monitor} cannot be used: validation logs {logged}") from error
    return True


def _write_traceback(folder: Path) -> Path:
    """Writes the traceback of the current exception to the run folder."""
    path = folder / ("error.txt" if global_rank() == 0 else f"error-{global_rank()}.txt")
    with suppress(OSError):  # the disk may be full
        path.write_text(traceback.format_exc(), encoding="utf-8")
    return path


def _test(trainer: pl.Trainer, module: TaskModule, data: Any, folder: Path) -> dict[str, float]:
    """Runs the test loop on the best checkpoint, or on the last weights if there is none.

    Args:
        trainer: the Trainer.
        module: the LightningModule, which takes the weights of the best checkpoint.
        data: the DataModule.
        folder: the run folder.

    Returns:
        The test metrics.
    """
    if trainer.is_global_zero and (folder / "best.ckpt").exists():
        module.network.load_state_dict(network_weights(read_checkpoint(folder / "best.ckpt")[1]))
    elif trainer.is_global_zero:
        log.warning("No best.ckpt, since no validation was run: testing the last weights.")
    if trainer.world_size > 1:  # nodes may not share a disk; after fit the network is on the CPU, also with GPUs
        module.network.load_state_dict(trainer.strategy.broadcast(module.network.state_dict()))
    (metrics,) = trainer.test(module, datamodule=data, verbose=False)
    return dict(metrics)
