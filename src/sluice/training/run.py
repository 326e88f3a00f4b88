"""A whole training run, from a configuration to a table of results."""

import logging
import os
import shlex
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import TensorBoardLogger

from sluice.callbacks.checkpoints import LastCheckpoint, heard
from sluice.callbacks.training_monitor import TrainingMonitor
from sluice.config.compose import checked, flat
from sluice.config.schema import Config, schema_name
from sluice.distributed import LAUNCHED, devices_wanted, global_rank, started_by_launcher
from sluice.errors import UserError
from sluice.exit_codes import INTERRUPTED
from sluice.modules.base import Task
from sluice.recipes.base import Corpus, Data
from sluice.recipes.data_checks import check_same_data, check_same_sources, write_splits
from sluice.recipes.outside_code import allow_module, check_unchanged, keep_source
from sluice.recipes.registry import family_of
from sluice.recipes.warm_start import start_from
from sluice.recurrent.malloc import keep_freed_memory
from sluice.runs.checkpoint import network_weights, read_checkpoint
from sluice.runs.folder import job_id
from sluice.runs.logs import close_logs, log_to, start_logging
from sluice.runs.report import show_results
from sluice.runs.results import provenance, read_results, write_results
from sluice.training.claim import Claimed, check_early, check_free, claimed, settled
from sluice.training.gpus import own_gpus
from sluice.training.launch import check_launch, launch
from sluice.training.resume import AlreadyDone, Resumed, check_trainable
from sluice.training.slurm import requeue
from sluice.training.trainer import build_trainer, check_trainer, try_trainer

log = logging.getLogger(__name__)

__all__ = ["AlreadyDone", "Interrupted", "Trained", "run", "train"]

_NOT_HYPERPARAMETERS = ("trainer", "callbacks", "logger", "paths", "name")


@dataclass(frozen=True)
class Trained:
    """What a training run leaves."""

    config: Config
    task: Task
    results: dict[str, Any]
    """What results.json holds."""
    folder: Path


class Interrupted(Exception):
    """Ctrl-C or a stop signal ended the run; the results so far have been shown and written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


def train(composed: DictConfig, *, sweep_number: int | None = None, overrides: Sequence[str] | None = None) -> Trained:
    """Trains, tests the best checkpoint once, and writes everything to the run's folder.

    Where the trainer asks for several devices and nobody has started a process for each, this process starts them.

    Args:
        composed: what Hydra composed.
        sweep_number: the run's place in a sweep.
        overrides: the command line that it was composed from, kept for resuming.

    Raises:
        UserError: for anything the person at the keyboard can mend.
        Interrupted: after Ctrl-C or a stop signal.
    """
    for key in ("data_dir", "cache_dir", "output_dir"):
        composed.paths[key] = str(Path(composed.paths[key]).absolute())
    if composed.model.module is not None:
        composed.model.module = str(Path(composed.model.module).absolute())
        allow_module(Path(composed.model.module))
    if composed.embedding.get("path") is not None:  # "???" is told by `checked`
        composed.embedding.path = str(Path(composed.embedding.path).absolute())
    config = checked(composed)
    start_logging()
    with own_gpus(config.trainer):
        check_trainer(config.trainer)
        check_launch(config.trainer)
        workers = devices_wanted(config.trainer)
        if workers == 1 or started_by_launcher():
            return run(config, sweep_number=sweep_number, overrides=overrides)
        return _run_workers(config, workers, sweep_number, overrides)


def run(config: Config, *, sweep_number: int | None = None, overrides: Sequence[str] | None = None) -> Trained:
    """The run of one process, alone or one of several; see `train`."""
    start_logging()
    keep_freed_memory()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision(config.matmul_precision)
    with (
        heard(signal.Signals[config.checkpoint.stop_signal]) as early,
        _prepared(config, sweep_number, overrides) as (data, task, claim),
    ):
        if claim.lease is not None:
            write_splits(claim.folder, data)
            keep_source(config.model.module, claim.folder)
            log_to(claim.folder)
        last = LastCheckpoint(run_dir=str(claim.folder), **asdict(config.checkpoint), heard=early, guard=claim.lease)
        try:
            return _train_in(claim, config, data, task, last)
        except Exception as error:
            if not isinstance(error, UserError | Interrupted):
                error.kept_in = _keep_traceback(claim.folder)  # type: ignore[attr-defined]
            raise
        finally:
            last.hand_back_signals()
            close_logs()


def _run_workers(config: Config, workers: int, sweep_number: int | None, overrides: Sequence[str] | None) -> Trained:
    """Prepares everything, so that mistakes show once, and starts a worker for each device."""
    with _prepared(config, sweep_number, overrides) as (_, task, claim):
        config.resume = None if claim.resumed is None else str(claim.folder)
        assert claim.lease is not None
        code = launch(asdict(config), schema_name(config.task), claim.folder, workers, claim.lease.handed_on())
        if code == INTERRUPTED:
            raise Interrupted(claim.folder)
        if code:
            raise SystemExit(code)
        task.network.load_state_dict(network_weights(read_checkpoint(claim.folder)[1]))
        return Trained(config, task, read_results(claim.folder), claim.folder)


@contextmanager
def _prepared(
    config: Config, sweep_number: int | None, overrides: Sequence[str] | None
) -> Iterator[tuple[Data, Task, Claimed]]:
    """Texts, network and the run's folder, ready to train; what needs no data is refused before any is read.

    Raises:
        UserError: for anything that is wrong with the settings, the folder or the data.
    """
    try_trainer(config)
    check_early(config, sweep_number)
    corpus = _find_corpus(config)
    place = settled(config, sample=corpus.name == "sample", sweep_number=sweep_number)
    check_free(place, config)
    if place.resumes:
        check_same_sources(place.folder, config, corpus)
    data, task = _data_and_task(config, corpus, fresh=not place.resumes)
    with claimed(place, config, overrides, lambda found: _check_resumable(found, config, data, task)) as claim:
        try:
            yield data, task, claim
        except KeyboardInterrupt:
            raise Interrupted(claim.folder) from None


def _check_resumable(found: Resumed, config: Config, data: Data, task: Task) -> None:
    """Refuses a checkpoint of other data, of a changed cell, or that the network cannot take up.

    Raises:
        UserError: naming what has changed.
    """
    check_same_data(found.checkpoint, task.saved_with, data.identity)
    if config.model.module is not None and not config.resume_force:
        saved = read_checkpoint(found.checkpoint)[1]["sluice"]
        check_unchanged(found.checkpoint, config.model.module, saved.get("module_checksum"))
    check_trainable(found, config, {name: tuple(tensor.shape) for name, tensor in task.state_dict().items()})


def _find_corpus(config: Config) -> Corpus:
    corpus = family_of(config).find_corpus(config)
    if corpus.name == "sample":
        config.task.data.source = "sample"
        if LAUNCHED not in os.environ:  # or else the parent has said so
            log.warning("SAMPLE: this run trains on generated texts, not on a real corpus; it shows that all works.")
    return corpus


def _data_and_task(config: Config, corpus: Corpus, *, fresh: bool) -> tuple[Data, Task]:
    """The texts and the network; a fresh one starts from the weights of `init_from`, a resumed one from its own."""
    family = family_of(config)
    data: Any = family.build_data(config, corpus)
    if LAUNCHED not in os.environ:
        log.info("%s: texts from %s", config.task.name, corpus.description)
    pl.seed_everything(config.seed, verbose=False)
    task = family.build_task(config, data)
    if config.init_from and fresh:
        start_from(task.network, family.saved_parts(data), Path(config.init_from), family)
    if global_rank():
        pl.seed_everything(config.seed + global_rank(), verbose=False)  # each rank drops units of its own
    return data, task


def _train_in(claim: Claimed, config: Config, data: Data, task: Task, last: LastCheckpoint) -> Trained:
    folder, goes_on = claim.folder, claim.resumed
    vitals = TrainingMonitor()
    family = family_of(config)
    trainer = build_trainer(
        config, family.callbacks(config, data), vitals, last, claim.lease, goes_on and goes_on.next_logged_step
    )
    log.info("%s parameters, run folder %s", f"{_parameters(task):,}", folder)
    checkpoint = None if goes_on is None else str(goes_on.checkpoint)
    if checkpoint:
        log.info("Going on from %s.", checkpoint)
    finished = _completed(trainer, lambda: trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True))
    if last.stopped_by_signal:
        _stop(last, trainer, folder)
    results = _results(config, data, task, vitals, trainer)
    finished = finished and _completed(trainer, lambda: results.update(_test(trainer, task, data, folder)))
    if not finished:
        results["interrupted"] = True
    if finished and trainer.is_global_zero:
        results |= family.more_figures(config, data, task)
    results["minutes"] = last.seconds / 60
    if trainer.is_global_zero:
        _finish(claim, config, task, results, trainer, interrupted=not finished)
    if not finished:
        raise Interrupted(folder)
    return Trained(config, task, results, folder)


def _stop(last: LastCheckpoint, trainer: pl.Trainer, folder: Path) -> NoReturn:
    """Ends a run that a signal has stopped; a run named by its job asks to be started again.

    Raises:
        Interrupted: always.
    """
    assert last.stopped_by_signal is not None
    log.info("Stopped by %s.", last.stopped_by_signal.name)
    job = job_id() if last.stopped_by_signal == last.stop_signal else None
    if trainer.is_global_zero and job and job in folder.name:
        requeue()
    trainer.strategy.barrier()  # where one task's end ends the others, scontrol must have its answer before
    raise Interrupted(folder)


def _finish(
    claim: Claimed, config: Config, task: Task, results: dict[str, Any], trainer: pl.Trainer, *, interrupted: bool
) -> None:
    """Writes and prints what the run came to."""
    family = family_of(config)
    if claim.lease is not None:
        claim.lease.check()
    if not interrupted:
        family.keep(task, claim.folder)  # before the results, which say that the run is done
    _log_hyperparameters(trainer, config, results)
    write_results(claim.folder, results)
    code = "" if config.model.module is None else f" model.module={shlex.quote(config.model.module)}"
    show_results(results, claim.folder, family.use + code, interrupted=interrupted)
    if not interrupted:
        family.show(task)


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
    with suppress(OSError):  # as on a full disk, which may be what went wrong
        path.write_text(traceback.format_exc(), encoding="utf-8")
    return path


def _results(config: Config, data: Data, task: Task, vitals: TrainingMonitor, trainer: pl.Trainer) -> dict[str, Any]:
    """Everything known before the test."""
    best = Path(str(config.paths.run_dir)) / "best.ckpt"
    metrics = read_checkpoint(best)[1]["sluice"]["metrics"] if best.exists() else {}
    return {
        "task": config.task.name,
        "model": config.model.name,
        "seed": config.seed,
        "debug": config.debug,
        "data_source": data.corpus.name,
        "data_fingerprint": task.saved_with["data"]["fingerprint"],
        **{name: value for name, value in metrics.items() if name.startswith("val/")},
        "monitor": config.task.monitor,
        "parameters": _parameters(task),
        "epochs": trainer.current_epoch,
        "train/tokens_per_second": vitals.per_second,
        "device": _device(trainer),
        **provenance(),
    }


def _test(trainer: pl.Trainer, task: Task, data: Data, folder: Path) -> dict[str, float]:
    """The one use of the test split: the best checkpoint's metrics."""
    if trainer.is_global_zero and (folder / "best.ckpt").exists():
        task.network.load_state_dict(network_weights(read_checkpoint(folder / "best.ckpt")[1]))
    elif trainer.is_global_zero:
        log.warning("There was no validation to choose a checkpoint: the last weights are tested.")
    if trainer.world_size > 1:  # nodes need not share a disk; after fit the network lies on the CPU, also on GPUs
        task.network.load_state_dict(trainer.strategy.broadcast(task.network.state_dict()))
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
