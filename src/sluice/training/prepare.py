"""Preparation of a run: settings, data, network and run folder."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from sluice.composition.checks import VECTORS, check_files, fetch_vectors
from sluice.composition.compose import checked
from sluice.composition.errors import named_settings
from sluice.config.fields import freeze
from sluice.config.schema import TASK_SCHEMAS, Config
from sluice.config.user_code import CELL, CHECKSUMS, TASK, allow_module, check_unchanged, import_module
from sluice.data.corpus import Corpus
from sluice.data.datamodule import ResumableData
from sluice.distributed import global_rank, num_devices, num_nodes
from sluice.errors import UserError, reason_of
from sluice.modules.base import TaskModule
from sluice.program import LAUNCHED
from sluice.recipes.registry import recipe_of
from sluice.runs.checkpoint import read_checkpoint
from sluice.runs.monitors import check_monitors
from sluice.runs.report import count_lines
from sluice.training.averaging_checks import check_averaging, check_same_averaging
from sluice.training.claim import ClaimedFolder, check_early, check_free, claim_folder, locate_run
from sluice.training.data_checks import check_same_data, check_same_sources
from sluice.training.resume import ResumePoint, check_trainable
from sluice.training.trainer_checks import check_objects
from sluice.training.warm_start import check_source, warm_start

log = logging.getLogger(__name__)

FOLDER_ARGUMENTS = ("run_dir", "save_dir", "dirpath")
"""Arguments of loggers and callbacks that name a folder to write to."""

Complete = Callable[[Path, bool], Config]
"""Returns the complete configuration, given the run folder and whether the data are the generated sample."""


class Prepared(NamedTuple):
    """A run that is ready to train."""

    config: Config
    """The complete, read-only configuration."""
    data: Any
    """A LightningDataModule that is also a `sluice.data.datamodule.CorpusData`."""
    module: TaskModule
    claim: ClaimedFolder


class Interrupted(Exception):
    """Raised after Ctrl-C or a stop signal, once the results so far have been printed and written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


def make_paths_absolute(composed: DictConfig) -> None:
    """Resolves relative paths against the current directory, and allows the code files that the settings name."""
    for key in ("data_dir", "cache_dir", "output_dir"):
        composed.paths[key] = str(Path(composed.paths[key]).expanduser().absolute())
    for setting, group in ((CELL, composed.model), (TASK, composed.task)):
        if group.module is not None:
            group.module = str(Path(group.module).expanduser().absolute())
            allow_module(Path(group.module), setting)
    if composed.task.module is not None:
        import_module(Path(composed.task.module), TASK)
        composed.task = _with_registered_type(composed.task)
    for key in VECTORS:
        path = OmegaConf.select(composed, key)  # None for "???", which is reported by `checked`
        if isinstance(path, str) and path and Path(path).expanduser().exists():  # a name is stored as it is
            OmegaConf.update(composed, key, str(Path(path).expanduser().absolute()))


def _with_registered_type(task: DictConfig) -> DictConfig:
    """Replaces the class of a task's settings by the registered one: a submitit job unpickles a copy of the class."""
    own: Any = OmegaConf.get_type(task)
    schemas = list(TASK_SCHEMAS.values())
    name = (own.__module__, own.__qualname__)
    registered = next((schema for schema in schemas if (schema.__module__, schema.__qualname__) == name), None)
    if own in schemas or registered is None:
        return task
    plain = OmegaConf.to_container(task, resolve=False)
    return OmegaConf.merge(OmegaConf.structured(registered), plain)  # type: ignore[return-value]


def complete_config(composed: DictConfig, folder: Path, sample: bool) -> Config:
    """Returns the read-only configuration with the run folder filled in, so that ${paths.run_dir} resolves.

    Args:
        composed: the composed configuration; changed in place.
        folder: the run folder.
        sample: whether the data are the generated sample.
    """
    composed.name, composed.paths.run_dir = folder.name, str(folder)
    if sample and OmegaConf.select(composed, "task.data.source") is not None:
        composed.task.data.source = "sample"
    config = checked(composed)
    freeze(config)
    return config


def create_folders(config: Config) -> None:
    """Creates the folders for runs and preprocessed corpora, and those that a logger or callback names.

    Raises:
        UserError: if one cannot be created or written to.
    """
    for key, path in _output_folders(config):
        try:
            path.mkdir(parents=True, exist_ok=True)
            reason = None if os.access(path, os.W_OK) else "permission denied"
        except OSError as error:
            reason = reason_of(error)
        if reason:
            raise UserError(f"{key}={path} cannot be used ({reason}): choose a folder that can be written to")


def _output_folders(config: Config) -> Iterator[tuple[str, Path]]:
    for name in ("output_dir", "cache_dir"):
        yield f"paths.{name}", Path(getattr(config.paths, name))
    for group, specs in (("logger", config.logger), ("callbacks", config.callbacks)):
        for name, spec in (specs or {}).items():
            for argument in FOLDER_ARGUMENTS:
                folder = spec.get(argument) if isinstance(spec, dict) else None
                if isinstance(folder, str) and "://" not in folder:
                    yield f"{group}.{name}.{argument}", Path(folder)


@contextmanager
def prepared_run(
    early: Config, complete: Complete, sweep_number: int | None, overrides: Sequence[str] | None
) -> Iterator[Prepared]:
    """Prepares data, network and run folder; settings that don't depend on data are checked before data are read.

    Args:
        early: the configuration before the run folder is known.
        complete: returns the complete configuration.
        sweep_number: the run's number in a sweep, from 1 on; None outside a sweep.
        overrides: the overrides of the command line, stored for resuming.

    Raises:
        UserError: for invalid settings, data or run folder.
        Interrupted: after Ctrl-C.
    """
    check_objects(early)
    check_averaging(early)
    check_files(early)
    check_early(early, sweep_number)
    create_folders(early)
    recipe = recipe_of(early)
    with named_settings(early):
        recipe.check(early)
    check_source(early, recipe)
    fetch_vectors(early)
    corpus = _find_corpus(early)
    sample = corpus.name == "sample"
    location = locate_run(early, sample=sample, sweep_number=sweep_number)
    config = complete(location.folder, sample)
    check_free(location, config)
    if location.resumes:
        check_same_sources(location.folder, config, corpus)
    with named_settings(config):
        data, module = _data_and_module(config, corpus, fresh=not location.resumes)
    with claim_folder(
        location, config, overrides, lambda found: _check_resumable(found, config, data, module)
    ) as claim:
        try:
            yield Prepared(config, data, module, claim)
        except KeyboardInterrupt:
            raise Interrupted(claim.folder) from None


def _check_resumable(found: ResumePoint, config: Config, data: Any, module: TaskModule) -> None:
    """Refuses a checkpoint of other data, changed code or another network.

    Raises:
        UserError: naming what has changed.
    """
    check_same_data(found.checkpoint, module.saved_with, data.identity)
    checkpoint = read_checkpoint(found.checkpoint)[1]
    check_same_averaging(found.checkpoint, checkpoint, config)
    if not config.resume_force:
        saved = checkpoint["sluice"]
        for setting, path in ((CELL, config.model.module), (TASK, config.task.module)):
            if path is not None:
                check_unchanged(found.checkpoint, path, saved.get(CHECKSUMS[setting]), setting)
    check_trainable(found, config, {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})


def _find_corpus(config: Config) -> Corpus:
    with named_settings(config):
        corpus: Corpus = recipe_of(config).find_corpus(config)
    if corpus.name == "sample" and LAUNCHED not in os.environ:  # otherwise the parent process has logged it
        log.warning("SAMPLE: training on generated data; the scores are not meaningful.")
    return corpus


def _data_and_module(config: Config, corpus: Corpus, *, fresh: bool) -> tuple[Any, TaskModule]:
    """Builds the DataModule and the LightningModule; in a fresh run, `init_from` initialises the weights."""
    recipe = recipe_of(config)
    data = recipe.build_data(config, corpus)
    _check_data(data, config, fresh)
    if LAUNCHED not in os.environ:
        log.info("Data of task=%s: %s", config.task.name, corpus.description)
        for line in count_lines(recipe.data_counts(data)):
            log.info("  %s", line)
    pl.seed_everything(config.seed, verbose=False)
    module = recipe.build_module(config, data)
    check_monitors(config, module.validation_metrics)
    if config.init_from and fresh:
        if config.embedding.path is not None:
            log.warning("The word vectors of init_from replace those of embedding.path for the words that both have.")
        warm_start(module.network, recipe.saved_parts(data), Path(config.init_from), recipe)
    if global_rank():
        pl.seed_everything(config.seed + global_rank(), verbose=False)  # a different dropout mask on each rank
    return data, module


def _check_data(data: object, config: Config, fresh: bool) -> None:
    """Checks that a DataModule supports several processes and resuming; warns if it cannot resume within an epoch.

    Raises:
        UserError: for several processes and a DataModule that doesn't divide the data among them.
    """
    if isinstance(data, ResumableData):
        return
    if num_devices(config.trainer) * num_nodes(config.trainer) > 1:
        raise UserError(
            f"task={config.task.name} trains in one process only: its {type(data).__name__} doesn't divide the data "
            "among processes; derive it from sluice.data.datamodule.BucketedData, or set trainer.devices=1"
        )
    if not fresh:
        log.warning(
            "%s doesn't store its position: the interrupted epoch starts again. Derive it from "
            "sluice.data.datamodule.ResumableData.",
            type(data).__name__,
        )
