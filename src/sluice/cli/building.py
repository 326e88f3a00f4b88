"""From a checked Config to the objects that train."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from sluice.callbacks.checkpoints import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint
from sluice.callbacks.mistakes import Mistakes
from sluice.callbacks.progress import ProgressBar, make_progress
from sluice.callbacks.vitals import Vitals
from sluice.cli.launching import LAUNCHED, devices_wanted, started_by_launcher
from sluice.cli.own_cells import import_cells
from sluice.cli.schema import Config, Embedding, Reviews, schema_name
from sluice.cli.slurm import in_step
from sluice.data.classification import ClassificationData
from sluice.data.imdb import resolve_imdb
from sluice.data.sources import LabelledCorpus
from sluice.data.tables import LabelledTable
from sluice.data.tokenizing import TextSettings
from sluice.errors import UserError
from sluice.layers.embedding import LearnedEmbedding, make_embedding
from sluice.models.classifier import TextClassifier
from sluice.recurrent import CELLS, CellOptions, RecurrentStack
from sluice.tasks.base import Monitor
from sluice.tasks.classification import ClassificationTask
from sluice.text.vocab import PADDING_ID

log = logging.getLogger(__name__)

FORMAT = 1
"""Layout of what a checkpoint carries beside the weights."""


def find_corpus(config: Config, *, may_fall_back: bool = True) -> LabelledCorpus:
    """The labelled texts that the task names."""
    data = config.task.data
    if isinstance(config.task, Reviews):
        return LabelledTable(
            path=Path(data.path),
            validation_path=Path(data.validation_path) if data.validation_path else None,
            test_path=Path(data.test_path) if data.test_path else None,
            text_column=data.text_column,
            label_column=data.label_column,
        )
    alone = (not started_by_launcher() and devices_wanted(config.trainer) == 1) or data.source == "sample"
    return resolve_imdb(
        source=data.source,
        data_dir=Path(config.paths.data_dir),
        sample_size=data.sample_size,
        may_fall_back=may_fall_back and alone,
    )


def text_settings(config: Config) -> TextSettings:
    """How the task's texts become ids."""
    text, data = config.task.text, config.task.data
    return TextSettings(
        tokenizer=text.tokenizer,
        min_freq=text.min_freq,
        max_size=text.max_size,
        validation_share=data.validation_share,
        test_share=getattr(data, "test_share", 0.0),
    )


def build_data(config: Config, corpus: LabelledCorpus) -> ClassificationData:
    """The DataModule of the task.

    Raises:
        UserError: if a batch's token budget is less than one text may have.
    """
    data = config.task.data
    if data.max_tokens is not None and data.max_tokens < data.max_length:
        raise UserError(
            f"task.data.max_tokens={data.max_tokens} cannot be used: one text may have "
            f"task.data.max_length={data.max_length} tokens; raise the one or lower the other"
        )
    return ClassificationData(
        corpus=corpus,
        settings=text_settings(config),
        cache_dir=Path(config.paths.cache_dir),
        batch_size=_batch_size_per_rank(config),
        max_tokens=data.max_tokens,
        max_length=data.max_length,
        truncation=data.truncation,
        num_workers=data.num_workers,
        seed=config.seed,
    )


def _batch_size_per_rank(config: Config) -> int:
    """
    Raises:
        UserError: if a batch of all ranks cannot be split among them.
    """
    batch_size = int(config.task.data.batch_size)
    if not config.task.data.split_batch:
        return batch_size
    ranks = devices_wanted(config.trainer) * int(config.trainer.get("num_nodes") or 1)
    if batch_size % ranks:
        raise UserError(f"task.data.batch_size={batch_size} cannot be split among {ranks} ranks: choose a multiple")
    return batch_size // ranks


def build_network(config: Config, *, vocab_size: int, num_classes: int) -> TextClassifier:
    """Embedding, recurrent core, pooling and output."""
    model, task = config.model, config.task
    if model.module:
        import_cells(Path(model.module))
    if model.cell not in CELLS:
        raise UserError(f"there is no model.cell={model.cell}: there are {', '.join(sorted(CELLS))}")
    embedding = make_embedding(
        config.embedding.kind,
        vocab_size=vocab_size,
        size=config.embedding.size,
        padding_id=PADDING_ID,
        word_dropout=config.embedding.word_dropout,
    )
    recurrent = RecurrentStack(
        cell=model.cell,
        input_size=embedding.output_size,
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        bidirectional=model.bidirectional,
        dropout=model.dropout,
        residual=model.residual,
        initial_state=model.initial_state,
        one_hot=embedding.one_hot,
        options=CellOptions(
            activation=model.activation,
            cell_activation=model.cell_activation,
            forget_bias=model.forget_bias,
            recurrent_dropout=model.recurrent_dropout,
            weight_dropout=model.weight_dropout,
            recurrent_init=model.recurrent_init,
        ),
    )
    return TextClassifier(
        embedding=embedding,
        recurrent=recurrent,
        num_classes=num_classes,
        pooling=task.pooling,
        input_dropout=model.input_dropout,
        output_dropout=task.output_dropout,
        segment_length=task.segment_length,
    )


def build_task(config: Config, data: ClassificationData) -> ClassificationTask:
    """The LightningModule, with everything its checkpoints carry."""
    prepared = data.prepared
    try:
        network = build_network(config, vocab_size=len(prepared.vocab), num_classes=len(prepared.labels))
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.embedding.adversarial and config.embedding.kind == "onehot":
        raise UserError("embedding.adversarial needs learned vectors to move: it doesn't go with embedding=onehot")
    if config.embedding.start == "ppmi":
        _start_embedding(network, data, config.embedding)
    plain = asdict(config)
    task = ClassificationTask(
        network=network,
        monitor=Monitor(config.task.monitor, config.task.mode),
        labels=prepared.labels,
        label_smoothing=config.task.label_smoothing,
        adversarial=config.embedding.adversarial,
        class_weights=class_weights(config.task.class_weights, prepared.labels, prepared.splits["train"].labels),
        optimizer=_factory("optimizer", config.optimizer),
        schedule=_factory("scheduler", config.scheduler) if config.scheduler else None,
        saved_with={
            "format": FORMAT,
            "schema": schema_name(config.task),
            "config": plain,
            "vocab": prepared.vocab.tokens,
            "labels": list(prepared.labels),
            "data_source": data.corpus.name,
        },
    )
    _check_monitors(config, task.validation_metrics)
    return task


def _start_embedding(network: TextClassifier, data: ClassificationData, settings: Embedding) -> None:
    """Gives the embedding the vectors that the training texts say."""
    if not isinstance(network.embedding, LearnedEmbedding):
        raise UserError(f"embedding.start=ppmi needs learned vectors: it doesn't go with embedding={settings.kind}")
    vectors = data.word_vectors(settings.size)
    if vectors.any():
        network.embedding.start_from(vectors)
    else:
        log.warning("No two words stand near each other in the training texts: the embedding starts at random.")


def _check_monitors(config: Config, known: list[str]) -> None:
    """Refuses a metric that no validation will log, before the first epoch rather than after it.

    Raises:
        UserError: for the first such metric.
    """
    monitors = {"task.monitor": config.task.monitor}
    for name, spec in (config.callbacks or {}).items():
        if spec and str(spec.get("monitor", "")).startswith("val/"):
            monitors[f"callbacks.{name}.monitor"] = spec["monitor"]
    for key, metric in monitors.items():
        if metric not in known:
            raise UserError(f"{key}={metric} cannot be used: it must be one of {', '.join(known)}")


def class_weights(setting: Any, labels: tuple[str, ...], seen: Any) -> list[float] | None:
    """The weight of each class in the training loss.

    Args:
        setting: None, "balanced" (all classes count alike, however rare) or {class: weight}.
        labels: class names.
        seen: (N,) class ids of the training texts.

    Raises:
        UserError: for any other setting, a class missing from it or unknown, or a weight that is not positive.
    """
    if setting is None:
        return None
    if setting == "balanced":
        return [len(seen) / (len(labels) * max(1, int((seen == label).sum()))) for label in range(len(labels))]
    if not isinstance(setting, dict) or set(map(str, setting)) != set(labels):
        raise UserError(
            f"task.class_weights={setting} cannot be used: it must be null, balanced, or a weight for each of "
            f"{', '.join(labels)}, as in 'task.class_weights={{{labels[0]}: 2, ...}}'"
        )
    weights = {str(name): weight for name, weight in setting.items()}
    if not all(isinstance(weight, int | float) and weight > 0 for weight in weights.values()):
        raise UserError(f"task.class_weights={setting} cannot be used: every weight must be a number above 0")
    return [float(weights[label]) for label in labels]


def build_trainer(
    config: Config, data: ClassificationData, vitals: Vitals, last: LastCheckpoint, goes_on_from: int | None = None
) -> pl.Trainer:
    """The Trainer with its loggers and callbacks; the checkpoints, progress and vitals are always there.

    Args:
        config: the configuration.
        data: the texts.
        vitals: counts tokens.
        last: keeps last.ckpt.
        goes_on_from: the first step that is logged, where the run was begun by an earlier process.
    """
    run_dir = str(config.paths.run_dir)
    monitor, mode = config.task.monitor, config.task.mode
    progress = make_progress()
    mistakes = Mistakes(labels=data.prepared.labels, text_of=lambda index: data.text_of("val", index))
    callbacks: list[Callback] = [
        vitals,
        mistakes,
        progress,
        *_all("callbacks", config.callbacks),
        BestCheckpoint(run_dir=run_dir, monitor=monitor, mode=mode),
        last,
    ]
    loggers = _all("logger", config.logger)
    for logger in loggers:
        if goes_on_from is not None and hasattr(logger, "go_on_from"):
            logger.go_on_from(goes_on_from)
    return _construct(
        "trainer",
        config.trainer,
        logger=loggers or False,
        callbacks=callbacks,
        default_root_dir=run_dir,
        enable_progress_bar=isinstance(progress, ProgressBar),
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO(), *_environment()],
    )


def _environment() -> list[ClusterEnvironment]:
    """Who numbers the processes, where Lightning would guess or take over signals that are the run's own."""
    if LAUNCHED in os.environ:
        return [LightningEnvironment()]
    if in_step():  # Lightning asks for the number that --ntasks alone doesn't give; check_launch has compared all
        on_each = int(os.environ["SLURM_NTASKS"]) // int(os.environ.get("SLURM_NNODES", "1"))
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(on_each))
        return [SLURMEnvironment(auto_requeue=False)]
    if "SLURM_JOB_ID" in os.environ and "LOCAL_RANK" not in os.environ:
        return [LightningEnvironment()]  # a batch script without srun: one process
    return []


def check_trainer(spec: dict[str, Any]) -> None:
    """Refuses what Lightning would accept now and stumble over later.

    Raises:
        UserError: for a length that is none, or an accelerator this machine doesn't have.
    """
    epochs, accelerator = spec.get("max_epochs"), spec.get("accelerator")
    if not isinstance(epochs, int) or epochs < 1:
        raise UserError(f"trainer.max_epochs={epochs} cannot be used: it must be a whole number, at least 1")
    for key in ("limit_train_batches", "limit_val_batches", "limit_test_batches"):
        limit = spec.get(key)
        if limit is not None and (not isinstance(limit, int | float) or limit <= 0):
            raise UserError(f"trainer.{key}={limit} cannot be used: it must be a number of batches or a share above 0")
    if accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(f"trainer.accelerator={accelerator} cannot be used: there is no GPU here; use trainer=default")


def _factory(key: str, spec: dict[str, Any]) -> Callable[..., Any]:
    """A `_partial_` factory, tried once so that a wrong argument shows before the data is prepared."""
    make = _construct(key, spec)
    try:
        made = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0) if key == "scheduler" else None
        _ = make(made, total_steps=10, mode="max") if made else make([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise UserError(f"{key} cannot be built: {str(error).splitlines()[0]}") from error
    return make


def _all(key: str, specs: dict[str, Any] | None) -> list[Any]:
    """The objects of a group in which every entry has a `_target_`; null entries are left out."""
    return [_construct(f"{key}.{name}", spec) for name, spec in (specs or {}).items() if spec is not None]


def _construct(key: str, spec: dict[str, Any], **extra: Any) -> Any:
    """Builds what `spec["_target_"]` names from the other entries and `extra`.

    Raises:
        UserError: if the target is unknown or refuses its arguments.
    """
    try:
        partial = spec.get("_partial_", False)
        make = instantiate({**spec, "_partial_": True}, _convert_="all")
        return make if partial else make(**extra)
    except HydraException as error:
        raise UserError(f"{key} cannot be built: {_reason(error.__cause__ or error)}") from error
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"{key} cannot be built: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).strip().splitlines()[:2]).rstrip(".")
