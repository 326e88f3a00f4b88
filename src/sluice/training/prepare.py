"""Everything before the first step of a run: settings, data, network and the run's folder."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from sluice.config.compose import checked, with_registered_type
from sluice.config.fields import freeze
from sluice.config.schema import Config
from sluice.config.user_code import CELL, CHECKSUMS, TASK, allow_module, check_unchanged, import_module
from sluice.data.corpus import Corpus
from sluice.data.datamodule import ResumableData
from sluice.distributed import LAUNCHED, devices_wanted, global_rank, nodes_wanted
from sluice.errors import UserError
from sluice.modules.base import Task
from sluice.recipes.registry import recipe_of
from sluice.runs.checkpoint import read_checkpoint
from sluice.training.claim import ClaimedFolder, check_early, check_free, claim_folder, locate_run
from sluice.training.data_checks import check_same_data, check_same_sources
from sluice.training.resume import ResumePoint, check_trainable
from sluice.training.trainer import check_monitors, check_trainer_arguments
from sluice.training.warm_start import warm_start

log = logging.getLogger(__name__)

Complete = Callable[[Path, bool], Config]
"""From the run's folder, and whether the data are the generated sample, to the complete configuration."""


class Prepared(NamedTuple):
    """A run that is ready to train."""

    config: Config
    """Complete: nothing sets anything from here on."""
    data: Any
    """A LightningDataModule that is also a `sluice.data.datamodule.Data`."""
    module: Task
    claim: ClaimedFolder


class Interrupted(Exception):
    """Ctrl-C or a stop signal ended the run; the results so far have been shown and written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


def make_paths_absolute(composed: DictConfig) -> None:
    """Relative paths are meant from the folder in which the command was given; files of code it names may run."""
    for key in ("data_dir", "cache_dir", "output_dir"):
        composed.paths[key] = str(Path(composed.paths[key]).absolute())
    for setting, group in ((CELL, composed.model), (TASK, composed.task)):
        if group.module is not None:
            group.module = str(Path(group.module).absolute())
            allow_module(Path(group.module), setting)
    if composed.task.module is not None:
        import_module(Path(composed.task.module), TASK)
        composed.task = with_registered_type(composed.task)
    is_given = not OmegaConf.is_interpolation(composed.embedding, "path")
    if is_given and composed.embedding.get("path") is not None:  # "???" is reported by `checked`
        composed.embedding.path = str(Path(composed.embedding.path).absolute())


def complete_config(composed: DictConfig, folder: Path, sample: bool) -> Config:
    """The configuration once the run's folder is known, so that ${paths.run_dir} resolves under any key; read-only."""
    composed.name, composed.paths.run_dir = folder.name, str(folder)
    if sample and OmegaConf.select(composed, "task.data.source") is not None:
        composed.task.data.source = "sample"
    config = checked(composed)
    freeze(config)
    return config


@contextmanager
def prepared_run(
    early: Config, complete: Complete, sweep_number: int | None, overrides: Sequence[str] | None
) -> Iterator[Prepared]:
    """Texts, network and the run's folder, ready to train; what needs no data is refused before any is read.

    Args:
        early: the configuration as it is before the run's folder is known.
        complete: gives the complete one.
        sweep_number: the run's place in a sweep.
        overrides: the command line, kept for resuming.

    Raises:
        UserError: for anything that is wrong with the settings, the folder or the data.
    """
    check_trainer_arguments(early)
    check_early(early, sweep_number)
    corpus = _find_corpus(early)
    sample = corpus.name == "sample"
    location = locate_run(early, sample=sample, sweep_number=sweep_number)
    config = complete(location.folder, sample)
    check_free(location, config)
    if location.resumes:
        check_same_sources(location.folder, config, corpus)
    data, module = _data_and_module(config, corpus, fresh=not location.resumes)
    with claim_folder(
        location, config, overrides, lambda found: _check_resumable(found, config, data, module)
    ) as claim:
        try:
            yield Prepared(config, data, module, claim)
        except KeyboardInterrupt:
            raise Interrupted(claim.folder) from None


def _check_resumable(found: ResumePoint, config: Config, data: Any, module: Task) -> None:
    """Refuses a checkpoint of other data, of changed code, or that the network cannot take up.

    Raises:
        UserError: naming what has changed.
    """
    check_same_data(found.checkpoint, module.saved_with, data.identity)
    if not config.resume_force:
        saved = read_checkpoint(found.checkpoint)[1]["sluice"]
        for setting, path in ((CELL, config.model.module), (TASK, config.task.module)):
            if path is not None:
                check_unchanged(found.checkpoint, path, saved.get(CHECKSUMS[setting]), setting)
    check_trainable(found, config, {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})


def _find_corpus(config: Config) -> Corpus:
    corpus: Corpus = recipe_of(config).find_corpus(config)
    if corpus.name == "sample" and LAUNCHED not in os.environ:  # or else the parent has said so
        log.warning("SAMPLE: this run trains on generated texts, not on a real corpus; it shows that all works.")
    return corpus


def _data_and_module(config: Config, corpus: Corpus, *, fresh: bool) -> tuple[Any, Task]:
    """The texts and the network; a fresh one starts from the weights of `init_from`, a resumed one from its own."""
    recipe = recipe_of(config)
    data = recipe.build_data(config, corpus)
    _check_data(data, config, fresh)
    if LAUNCHED not in os.environ:
        log.info("%s: texts from %s", config.task.name, corpus.description)
    pl.seed_everything(config.seed, verbose=False)
    module = recipe.build_module(config, data)
    check_monitors(config, module.validation_metrics)
    if config.init_from and fresh:
        warm_start(module.network, recipe.saved_parts(data), Path(config.init_from), recipe)
    if global_rank():
        pl.seed_everything(config.seed + global_rank(), verbose=False)  # each rank drops units of its own
    return data, module


def _check_data(data: object, config: Config, fresh: bool) -> None:
    """
    Raises:
        UserError: for several processes and a DataModule that would give each of them all data.
    """
    if isinstance(data, ResumableData):
        return
    if devices_wanted(config.trainer) * nodes_wanted(config.trainer) > 1:
        raise UserError(
            f"task={config.task.name} trains in one process: its {type(data).__name__} doesn't divide the data among "
            "several; derive it from BucketedData of sluice.data.datamodule, or set trainer.devices=1"
        )
    if not fresh:
        log.warning(
            "%s doesn't store its position: an epoch that was interrupted begins again. Derive it from ResumableData "
            "of sluice.data.datamodule.",
            type(data).__name__,
        )
