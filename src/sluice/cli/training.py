"""A whole training run, from a configuration to a table of results."""

import logging
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import TensorBoardLogger

from sluice.callbacks.checkpoints import LastCheckpoint, heard
from sluice.callbacks.vitals import Vitals
from sluice.cli import runs
from sluice.cli.composing import checked, flat
from sluice.cli.failing import INTERRUPTED
from sluice.cli.families import family_of
from sluice.cli.families.base import Data
from sluice.cli.launching import LAUNCHED, check_launch, devices_wanted, global_rank, launch, started_by_launcher
from sluice.cli.logs import close_logs, log_to, start_logging
from sluice.cli.memory import keep_freed_memory
from sluice.cli.report import show_results
from sluice.cli.resuming import Resumed, can_go_on, check_same, find_run, is_done, job_folder, resumed
from sluice.cli.run_data import check_same_data, check_same_sources, write_splits
from sluice.cli.saved import network_weights, read_checkpoint
from sluice.cli.schema import Config, schema_name
from sluice.cli.slurm import requeue
from sluice.cli.starting import start_from
from sluice.cli.trainers import build_trainer, check_trainer
from sluice.errors import UserError
from sluice.tasks.base import Task

log = logging.getLogger(__name__)

_NOT_HYPERPARAMETERS = ("trainer", "callbacks", "logger", "paths", "name")


@dataclass(frozen=True)
class Trained:
    """What a training run leaves."""

    config: Config
    task: Task
    results: dict[str, Any]
    """What results.json holds."""
    folder: Path


class AlreadyDone(UserError):
    """There is nothing left of the run to do."""


class Interrupted(Exception):
    """Ctrl-C during training; the results so far have been shown and written."""


def train(composed: DictConfig, *, sweep_number: int | None = None) -> Trained:
    """Trains, tests the best checkpoint once, and writes everything to the run's folder.

    Where the trainer asks for several devices and nobody has started a process for each, this process starts them.

    Args:
        composed: what Hydra composed.
        sweep_number: the run's place in a sweep.

    Raises:
        UserError: for anything the person at the keyboard can mend.
        Interrupted: after Ctrl-C or a stop signal.
    """
    for key in ("data_dir", "cache_dir", "output_dir"):
        composed.paths[key] = str(Path(composed.paths[key]).absolute())
    if composed.model.module is not None:
        composed.model.module = str(Path(composed.model.module).absolute())
    if composed.embedding.get("path") is not None:  # "???" is told by `checked`
        composed.embedding.path = str(Path(composed.embedding.path).absolute())
    config = checked(composed)
    start_logging()
    check_trainer(config.trainer)
    check_launch(config.trainer)
    workers = devices_wanted(config.trainer)
    if workers == 1 or started_by_launcher():
        return run(config, sweep_number=sweep_number)
    return _run_workers(config, workers, sweep_number)


def run(config: Config, *, sweep_number: int | None = None) -> Trained:
    """The run of one process, alone or one of several; see `train`."""
    start_logging()
    keep_freed_memory()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision(config.matmul_precision)
    with heard(signal.Signals[config.checkpoint.stop_signal]) as early:
        data, task = _prepared(config)
        folder, goes_on = _run_folder(config, data.corpus.name == "sample", sweep_number)
        check_same_data(goes_on and goes_on.checkpoint, task.saved_with, data.identity)
        if global_rank() == 0:
            write_splits(folder, data)
            log_to(folder)
        try:
            return _train_in(folder, config, data, task, goes_on, early)
        except Exception as error:
            if not isinstance(error, UserError):
                error.kept_in = _keep_traceback(folder)  # type: ignore[attr-defined]
            raise
        finally:
            close_logs()


def _run_workers(config: Config, workers: int, sweep_number: int | None) -> Trained:
    """Prepares everything, so that mistakes show once, and starts a worker for each device."""
    data, task = _prepared(config)
    folder, goes_on = _run_folder(config, data.corpus.name == "sample", sweep_number)
    check_same_data(goes_on and goes_on.checkpoint, task.saved_with, data.identity)
    config.resume = None if goes_on is None else str(folder)
    code = launch(asdict(config), schema_name(config.task), folder, workers)
    if code == INTERRUPTED:
        raise Interrupted
    if code:
        raise SystemExit(code)
    task.network.load_state_dict(network_weights(read_checkpoint(folder / "best.ckpt")[1]))
    return Trained(config, task, runs.read_results(folder), folder)


def _prepared(config: Config) -> tuple[Data, Task]:
    """The texts and the network, ready to train."""
    family = family_of(config)
    corpus = family.find_corpus(config)
    told = LAUNCHED in os.environ  # by the parent
    if corpus.name == "sample":
        config.task.data.source = "sample"
        if not told:
            log.warning("SAMPLE: this run trains on generated texts, not on a real corpus; it shows that all works.")
    if config.resume is not None and config.paths.run_dir is None:
        folder = find_run(config.resume, Path(config.paths.output_dir), config.task.name, config.model.name)
        check_same_sources(folder, config, corpus)
    data: Any = family.build_data(config, corpus)
    if not told:
        log.info("%s: texts from %s", config.task.name, corpus.description)
    pl.seed_everything(config.seed, verbose=False)
    task = family.build_task(config, data)
    if config.init_from:
        start_from(task.network, family.saved_parts(data), Path(config.init_from), family)
    if global_rank():
        pl.seed_everything(config.seed + global_rank(), verbose=False)  # each rank drops units of its own
    return data, task


def _run_folder(config: Config, sample: bool, sweep_number: int | None) -> tuple[Path, Resumed | None]:
    """Settles the run's folder, in the configuration too, and what it goes on from, if it does.

    A run named by its scheduler's job goes on by itself: the job was requeued.
    """
    output_dir, task, model = Path(config.paths.output_dir), config.task.name, config.model.name
    if config.paths.run_dir is not None:  # a worker: its parent has settled it
        folder, new = Path(config.paths.run_dir), config.resume is None
    elif config.resume is not None:
        folder, new = find_run(config.resume, output_dir, task, model), False
    else:
        name = runs.run_name(config.name, sample=sample, sweep_number=sweep_number)
        folder = runs.run_folder(output_dir, task, model, name)
        own = config.name is None and runs.job_id() is not None
        folder = job_folder(folder, config) if own else folder
        new = not (own and (can_go_on(folder) or is_done(folder)))
        if new and own and global_rank() == 0:
            runs.clear_run_folder(folder)
        if new:
            runs.create_run_folder(folder)
    config.name, config.paths.run_dir = folder.name, str(folder)
    for spec in [*(config.logger or {}).values(), *(config.callbacks or {}).values()]:
        if spec and "run_dir" in spec:
            spec["run_dir"] = str(folder)  # ${paths.run_dir} was resolved before there was one
    if new:
        return folder, None
    if is_done(folder):
        raise AlreadyDone(f"the run in {folder} is done: its results are in results.json")
    found = resumed(folder)
    check_same(folder, config)
    return folder, found


def _train_in(
    folder: Path,
    config: Config,
    data: Data,
    task: Task,
    goes_on: Resumed | None,
    early: list[signal.Signals],
) -> Trained:
    vitals = Vitals()
    last = LastCheckpoint(run_dir=str(folder), **asdict(config.checkpoint), heard=early)
    family = family_of(config)
    trainer = build_trainer(config, family.callbacks(config, data), vitals, last, goes_on and goes_on.next_logged_step)
    if goes_on is None and trainer.is_global_zero:
        runs.write_config(folder, asdict(config))
    log.info("%s parameters, run folder %s", f"{_parameters(task):,}", folder)
    checkpoint = None if goes_on is None else str(goes_on.checkpoint)
    if checkpoint:
        log.info("Going on from %s.", checkpoint)
    finished = _completed(trainer, lambda: trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True))
    if last.stopped_by_signal:
        log.info("Stopped by %s, to go on with resume=%s", last.stopped_by_signal.name, folder)
        job = runs.job_id() if last.stopped_by_signal == last.stop_signal else None
        if trainer.is_global_zero and job and job in folder.name:
            requeue()
        trainer.strategy.barrier()  # where one task's end ends the others, scontrol must have its answer before
        raise Interrupted
    results = _results(config, data, task, vitals, trainer)
    finished = finished and _completed(trainer, lambda: results.update(_test(trainer, task, data, folder)))
    if not finished:
        results["interrupted"] = True
    if finished and trainer.is_global_zero:
        results |= family.more_figures(config, data, task)
    results["minutes"] = last.seconds / 60
    if trainer.is_global_zero:
        if finished:
            family.keep(task, folder)  # before the results, which say that the run is done
        _log_hyperparameters(trainer, config, results)
        runs.write_results(folder, results)
        show_results(results, folder, family.use, interrupted=not finished)
        if finished:
            family.show(task)
    if not finished:
        raise Interrupted
    return Trained(config, task, results, folder)


def _completed(trainer: pl.Trainer, stage: Callable[[], object]) -> bool:
    """Runs a stage; False where Ctrl-C ended it, after Lightning has shut down and training wrote last.ckpt."""
    try:
        stage()
    except SystemExit:
        if not trainer.interrupted:
            raise
        return False
    return True


def _keep_traceback(folder: Path) -> Path:
    """Writes the traceback of what went wrong to the run's folder."""
    path = folder / ("error.txt" if global_rank() == 0 else f"error-{global_rank()}.txt")
    path.write_text(traceback.format_exc(), encoding="utf-8")
    return path


def _results(config: Config, data: Data, task: Task, vitals: Vitals, trainer: pl.Trainer) -> dict[str, Any]:
    """Everything known before the test."""
    best = Path(str(config.paths.run_dir)) / "best.ckpt"
    metrics = read_checkpoint(best)[1]["sluice"]["metrics"] if best.exists() else {}
    return {
        "task": config.task.name,
        "model": config.model.name,
        "seed": config.seed,
        "data_source": data.corpus.name,
        "data_fingerprint": task.saved_with["data"]["fingerprint"],
        **{name: value for name, value in metrics.items() if name.startswith("val/")},
        "monitor": config.task.monitor,
        "parameters": _parameters(task),
        "epochs": trainer.current_epoch,
        "train/tokens_per_second": vitals.per_second,
        "device": _device(trainer),
        **runs.provenance(),
    }


def _test(trainer: pl.Trainer, task: Task, data: Data, folder: Path) -> dict[str, float]:
    """The one use of the test split: the best checkpoint's metrics."""
    if trainer.is_global_zero and (folder / "best.ckpt").exists():
        task.network.load_state_dict(network_weights(read_checkpoint(folder / "best.ckpt")[1]))
    elif trainer.is_global_zero:
        log.warning("There was no validation to choose a checkpoint: the last weights are tested.")
    if trainer.world_size > 1:  # nodes need not share a disk
        for tensor in task.network.state_dict().values():
            torch.distributed.broadcast(tensor, 0)
    (metrics,) = trainer.test(task, datamodule=data, verbose=False)
    return dict(metrics)


def _log_hyperparameters(trainer: pl.Trainer, config: Config, results: dict[str, Any]) -> None:
    """TensorBoard's hparams page: the settings with the metrics of the best checkpoint, as they turned out."""
    chosen = {key: value for key, value in asdict(config).items() if key not in _NOT_HYPERPARAMETERS}
    settings = {key: value for key, value in flat(chosen).items() if value is not None}
    metrics = {name: value for name, value in results.items() if name.startswith("test/")}
    metrics |= {f"best/{name}": value for name, value in results.items() if name == config.task.monitor}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(settings, metrics, step=trainer.global_step)
            logger.finalize("success")


def _parameters(task: Task) -> int:
    return sum(parameter.numel() for parameter in task.network.parameters())


def _device(trainer: pl.Trainer) -> str:
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"
