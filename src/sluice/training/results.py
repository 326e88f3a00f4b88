"""Contents of results.json, and the settings and final metrics that loggers get."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from sluice.config.schema import Config
from sluice.data.corpus import Sources
from sluice.data.datamodule import CorpusData
from sluice.data.fingerprints import fingerprint_of
from sluice.errors import UserError
from sluice.loggers.csv import CSVLog
from sluice.loggers.wandb import WeightsAndBiases
from sluice.modules.base import TaskModule
from sluice.plain import Plain
from sluice.recipes.registry import recipe_of
from sluice.runs.checkpoint import read_checkpoint
from sluice.runs.results import provenance
from sluice.targets.instantiate import of_tracking_service
from sluice.training.hyperparameters import all_settings, varied_settings


def results_before_test(
    config: Config, data: CorpusData, module: TaskModule, tokens_per_second: float, trainer: pl.Trainer
) -> Plain:
    """The results known before the test: settings, validation metrics of the best checkpoint, speed and versions.

    Args:
        config: the configuration.
        data: the DataModule.
        module: the trained LightningModule.
        tokens_per_second: training speed.
        trainer: the Trainer that trained it.
    """
    best = Path(str(config.paths.run_dir)) / "best.ckpt"
    metrics = read_checkpoint(best)[1]["sluice"]["metrics"] if best.exists() else {}
    return {
        "task": config.task.name,
        "model": config.model.name,
        "seed": config.seed,
        "debug": config.debug,
        "data_source": data.corpus.name,
        **_counts(recipe_of(config).data_counts(data)),
        "data_fingerprint": module.saved_with["data"]["fingerprint"],
        **_fingerprint_of_folds(config, data),
        **{name: value for name, value in metrics.items() if name.startswith("val/")},
        "monitor": config.task.monitor,
        "parameters": num_parameters(module),
        "epochs": trainer.current_epoch,
        "train/tokens_per_second": tokens_per_second,
        "device": _device(trainer),
        **provenance(),
    }


def _fingerprint_of_folds(config: Config, data: CorpusData) -> Plain:
    """The fingerprint of the data without the fold, by which `sluice compare` recognises the folds of one corpus."""
    sources: Sources | None = getattr(data.corpus, "whole_sources", None)
    if sources is None:
        return {}
    return {"data_fingerprint_of_folds": fingerprint_of(sources, Path(config.paths.cache_dir)).digest}


def _counts(counts: dict[str, dict[str, int]]) -> Plain:
    """Names the counts of `TaskRecipe.data_counts`, such as "data/train/texts"."""
    return {f"data/{split}/{name}": count for split, found in counts.items() for name, count in found.items()}


def log_settings(trainer: pl.Trainer, config: Config) -> None:
    """Logs the settings before training to every logger but TensorBoard's, whose HParams page needs the metrics too.

    Args:
        trainer: the Trainer, with its loggers.
        config: the configuration.

    Raises:
        UserError: if MLflow or W&B cannot be used.
    """
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            continue
        try:
            logger.log_hyperparams(all_settings(config))
        except Exception as error:
            if not of_tracking_service(error):
                raise
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"the logger {type(logger).__name__} cannot be used ({reason}): log in, or choose another"
            ) from error


def log_final_metrics(trainer: pl.Trainer, config: Config, results: Plain) -> None:
    """Logs the metrics of the best checkpoint to every logger, in TensorBoard with the settings as an HParams page.

    metrics.csv has those of the test already.

    Args:
        trainer: the Trainer, with its loggers.
        config: the configuration.
        results: contents of results.json.
    """
    metrics = {name: value for name, value in results.items() if name.startswith("test/")}
    metrics |= {f"best/{name}": value for name, value in results.items() if name == config.task.monitor}
    others = {name: results[name] for name in ("parameters", "minutes") if name in results}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(varied_settings(config), metrics, step=trainer.global_step)
        elif not isinstance(logger, CSVLog):
            logger.log_metrics(metrics | others, step=trainer.global_step)
        logger.finalize("failed" if results.get("interrupted") else "success")


@contextmanager
def closed_loggers(trainer: pl.Trainer) -> Iterator[None]:
    """Ends the W&B run after the block, also after an exception: the next run of a sweep would continue it."""
    try:
        yield
    finally:
        for logger in trainer.loggers:
            if isinstance(logger, WeightsAndBiases):
                logger.close()


def num_parameters(module: TaskModule) -> int:
    """The number of parameters of the network, trainable and frozen."""
    return sum(parameter.numel() for parameter in module.network.parameters())


def _device(trainer: pl.Trainer) -> str:
    root = trainer.strategy.root_device
    name = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"
