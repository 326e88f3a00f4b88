"""The base class of task recipes, which build and use the parts of a task."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, cast

import torch
from torch import nn

from sluice.config.common import TaskSettings
from sluice.config.schema import Config, schema_name
from sluice.config.user_code import checksum_of
from sluice.data.corpus import Corpus
from sluice.data.embedding_vectors import freeze_vectors, load_vectors
from sluice.distributed import num_devices, started_by_launcher
from sluice.errors import UserError
from sluice.optim.layer_groups import layer_groups
from sluice.plain import Plain, PlainMapping
from sluice.recipes.build import check_core, check_parameters
from sluice.runs.checkpoint import FORMAT
from sluice.runs.evaluation import Evaluation, Request, evaluate_whole_data
from sluice.runs.monitors import check_monitors
from sluice.runs.saved_model import DEFAULT_CACHE, DEFAULT_OUTPUT, SavedModel

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytorch_lightning.callbacks import Callback

    from sluice.data.datamodule import CorpusData
    from sluice.modules.base import TaskModule

log = logging.getLogger(__name__)

UNFREEZING = "sluice.callbacks.gradual_unfreezing.GradualUnfreezing"
OWN_FILES = (
    *("data.path", "data.validation_path", "data.test_path"),
    *("data.target_path", "data.validation_target_path", "data.test_target_path"),
)
"""Settings that name user files, which may have moved since training."""


Settings = TypeVar("Settings", bound=TaskSettings)
CorpusType = TypeVar("CorpusType", bound=Corpus)
DataModule = TypeVar("DataModule", bound="CorpusData")
Module = TypeVar("Module", bound="TaskModule")
Parts = TypeVar("Parts", bound=PlainMapping)


class TaskRecipe(ABC, Generic[Settings, CorpusType, DataModule, Module, Parts]):
    """Builds the data and LightningModule of a task, and evaluates and uses its trained models.

    Type parameters: the dataclass of the task's settings, its corpus, its DataModule, its LightningModule, and the
    dictionary of checkpoint contents besides the weights.
    """

    settings_type: type[Settings]
    """Dataclass of `task.*`; declare its fields with `sluice.config.fields`."""
    pretrained_as: ClassVar[tuple[str, ...]] = ()
    """Other kinds of task whose weights `init_from` accepts."""
    kind: ClassVar[str] = "other"
    """Tasks of one kind have similar networks and can load each other's weights (`init_from`)."""
    description: ClassVar[str] = "belongs to a custom task"
    """Verb phrase that describes its models, for messages: "classifies texts"."""
    usage: ClassVar[str] = "sluice evaluate {run}"
    """Command that uses a trained model; {run} is replaced by its folder."""
    needs_core: ClassVar[bool] = True
    """Whether its network has a recurrent core, so that model=none is refused."""
    decisive_symbols: ClassVar[Collection[str]] = ()
    """Tokens that determine the answer, which `sluice inspect` marks; empty if it depends on the text."""
    knows_metrics: ClassVar[bool] = False
    """Whether the module of a test network of `example_parts` has all validation metrics that training may have."""
    evaluates_files: ClassVar[bool] = False
    """Whether `sluice evaluate --file` takes a file of labelled texts."""
    files_hint: ClassVar[str] = ""
    """Alternative to `--file`, for the error message."""
    evaluation_methods: ClassVar[tuple[str, ...]] = ("plain",)
    """Values of `sluice evaluate --method`."""
    evaluation_settings: ClassVar[tuple[str, ...]] = OWN_FILES
    """Settings of the task, or prefixes of settings, that `sluice evaluate --set` may change."""

    def settings(self, config: Config) -> Settings:
        """Returns the settings of the task."""
        if not isinstance(config.task, self.settings_type):
            raise TypeError(f"expected settings of type {self.settings_type.__name__}, got {type(config.task)}")
        return config.task

    @abstractmethod
    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> CorpusType:
        """Finds the corpus that the settings name.

        Args:
            config: the configuration.
            may_fall_back: whether the generated sample may replace a missing corpus.
            known: classes or tags of a trained model, the only ones allowed; None for those of the texts.

        Raises:
            UserError: if the corpus is missing and cannot be downloaded.
        """

    @abstractmethod
    def build_data(self, config: Config, corpus: CorpusType) -> DataModule:
        """Builds the DataModule of a corpus.

        Raises:
            UserError: for settings that cannot be combined.
        """

    @abstractmethod
    def saved_parts(self, data: DataModule) -> Parts:
        """Returns the checkpoint contents besides the weights, such as vocabulary and labels."""

    @abstractmethod
    def build_network(self, config: Config, parts: Parts) -> nn.Module:
        """Builds the network with new weights.

        Args:
            config: the configuration.
            parts: checkpoint contents besides the weights, see `saved_parts`.

        Raises:
            UserError: for an unknown cell.
            ValueError: for sizes or probabilities that a layer rejects.
        """

    @abstractmethod
    def build_module(self, config: Config, data: DataModule) -> Module:
        """Builds the LightningModule for training, including everything that its checkpoints contain.

        Raises:
            UserError: for settings that cannot be combined.
        """

    @abstractmethod
    def module_for_test(self, model: SavedModel) -> Module:
        """Builds the LightningModule of a trained network for the test loop."""

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Evaluates a trained model, by default on a split of the data, which must be unchanged since training.

        Raises:
            UserError: if the data are missing or have changed.
        """
        data = self.build_data(model.config, self.find_corpus(model.config, may_fall_back=False))
        return evaluate_whole_data(model, data, self.module_for_test(model), request)

    def evaluate_ensemble(self, models: Sequence[SavedModel], request: Request) -> Evaluation:
        """Evaluates the mean of the probabilities of several models of this task.

        Raises:
            UserError: if they have different classes or splits, or do not classify.
        """
        task = models[0].config.task.name
        raise UserError(
            f"models of task={task} cannot be evaluated together, only classifiers can: evaluate them one by one"
        )

    def text_columns(self, config: Config) -> tuple[str, ...]:
        """Returns the columns of the texts in tables; those of the training data if they are a table."""
        return ("text",)

    def label_column(self, config: Config) -> str:
        """Returns the column of the class in tables; that of the training data if they are a table."""
        return str(getattr(getattr(config.task, "data", None), "label_column", "label"))

    def inference(self, model: SavedModel) -> object:
        """Creates the inference object of a trained model, a class of `sluice.inference`; None if there is none."""
        return None

    def callbacks(self, config: Config, data: DataModule) -> list[Callback]:
        """Returns callbacks of the task, such as those that log examples to TensorBoard."""
        return []

    def extra_metrics(self, config: Config, data: DataModule, module: Module) -> dict[str, float]:
        """Computes metrics of the tested network outside the test loop, for results.json.

        Args:
            config: the configuration.
            data: the DataModule.
            module: the tested LightningModule.
        """
        return {}

    def write_artifacts(self, module: Module, folder: Path) -> None:
        """Writes files of the test, such as the confusion matrix, to the run folder."""

    def print_summary(self, module: Module) -> None:
        """Prints results of the test other than metrics."""

    def data_counts(self, data: DataModule) -> dict[str, dict[str, int]]:
        """Returns the number of texts, tokens and classes of each split, by what is counted.

        They are printed and stored by every run. Empty, the default, for generated data, whose sizes are settings.
        """
        return {}

    def data_summary(self, data: DataModule) -> list[str]:
        """Returns further lines that describe the prepared data, such as the size of the vocabulary."""
        return []

    def prepare(self, config: Config, data: DataModule) -> None:
        """Prepares and caches the data."""
        data.prepare_data()

    def example_parts(self, config: Config) -> Parts | None:
        """Returns small checkpoint contents, with which `check` builds the network before the data are read.

        None, the default, builds only the recurrent core.
        """
        return None

    def check(self, config: Config) -> None:
        """Checks the settings as far as possible without data: builds the network without allocating its weights.

        Raises:
            UserError: for settings that the network rejects, or that need more memory than is available.
        """
        data = getattr(config.task, "data", None)
        if data is not None and hasattr(data, "global_batch_size"):
            batch_size_per_rank(config, data.batch_size, data.global_batch_size)
        if config.model.cell == "none" and not self.needs_core:
            return
        check_core(config)
        parts = self.example_parts(config) if config.model.module is None else None
        if parts is None:
            return
        try:
            with torch.device("meta"):
                network = self.build_network(config, parts)
        except ValueError as error:
            raise UserError(str(error)) from error
        callbacks = [spec for spec in (config.callbacks or {}).values() if spec is not None]
        if config.task.layer_decay != 1 or UNFREEZING in [spec.get("_target_") for spec in callbacks]:
            layer_groups(network)
        if self.knows_metrics:
            module = self.module_for_test(SavedModel(Path(), config, network, parts, ""))
            check_monitors(config, module.validation_metrics)

    def new_network(self, config: Config, data: DataModule) -> nn.Module:
        """Calls `build_network` for training and loads pretrained vectors.

        Raises:
            UserError: for sizes or probabilities that a layer rejects.
        """
        parts = self.saved_parts(data)
        try:
            if config.model.module is None and config.task.module is None:
                with torch.device("meta"):
                    check_parameters(self.build_network(config, parts))
            network = self.build_network(config, parts)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.load_vectors(config, network, parts)
        return network

    def load_vectors(self, config: Config, network: nn.Module, parts: Parts) -> None:
        """Loads the vectors of `embedding.path` into the embedding, and freezes it with `embedding.frozen`.

        Args:
            config: the configuration.
            network: the network.
            parts: checkpoint contents besides the weights.

        Raises:
            UserError: if the file cannot be used, or the embedding is not learned.
        """
        embedding, words = self.embedded_words(network, parts)
        if config.embedding.path is not None:
            folder = Path(config.paths.data_dir)
            load_vectors(embedding, config.embedding.path, words, data_dir=folder, seed=config.seed)
        elif config.embedding.frozen and config.embedding.init == "random" and config.init_from is None:
            log.warning("embedding.frozen=true without embedding.path: the random vectors are not trained.")
        if config.embedding.frozen:
            freeze_vectors(embedding)

    def embedded_words(self, network: nn.Module, parts: Parts) -> tuple[object, list[str]]:
        """Returns the embedding of the group `embedding`, None if there is none, and its words."""
        return getattr(network, "embedding", None), list(parts.get("vocab") or ())

    def module_arguments(self, config: Config, data: DataModule) -> Plain:
        """Returns the arguments that every LightningModule takes besides the network."""
        from sluice.modules.base import Monitor
        from sluice.targets.instantiate import factory

        return {
            "monitor": Monitor(config.task.monitor, config.task.mode),
            "optimizer": factory("optimizer", config.optimizer),
            "schedule": factory("scheduler", config.scheduler) if config.scheduler else None,
            "layer_decay": config.task.layer_decay,
            "saved_with": {
                "format": FORMAT,
                "schema": schema_name(config.task),
                "config": asdict(_portable(config)),
                "data_source": data.corpus.name,
                "data": data.identity.saved(),
                "module_checksum": checksum_of(config.model.module),
                "task_module_checksum": checksum_of(config.task.module),
                **self.saved_parts(data),
            },
        }

    def parts_of(self, saved: PlainMapping) -> Parts:
        """Casts checkpoint contents besides the weights to the type of this task."""
        return cast(Parts, saved)


def _portable(config: Config) -> Config:
    """Returns the configuration for a checkpoint, without the name of the run and its output folders."""
    paths = replace(config.paths, cache_dir=DEFAULT_CACHE, output_dir=DEFAULT_OUTPUT, run_dir=None)
    return replace(config, name=None, paths=paths)


class PublishedSettings(Protocol):
    """Settings of `task.data` of a published corpus."""

    source: str
    sample_size: int


def where_published(config: Config, data: PublishedSettings, may_fall_back: bool) -> Plain:
    """Returns the common arguments of `resolve_imdb`, `resolve_wikitext2` and the other functions of published corpora.

    The generated sample may replace a missing corpus only in single-process runs.

    Args:
        config: the configuration.
        data: its `task.data`.
        may_fall_back: whether the sample may replace the corpus at all.
    """
    return {
        "source": data.source,
        "data_dir": Path(config.paths.data_dir),
        "sample_size": data.sample_size,
        "may_fall_back": may_fall_back and not started_by_launcher() and num_devices(config.trainer) == 1,
    }


def batch_size_per_rank(config: Config, batch_size: int, global_batch_size: int | None) -> int:
    """Returns the batch size of each rank.

    Args:
        config: the configuration.
        batch_size: batch size of each rank if `global_batch_size` is None.
        global_batch_size: batch size of all ranks together.

    Raises:
        UserError: if the global batch size is not divisible by the number of ranks.
    """
    if global_batch_size is None:
        return batch_size
    ranks = num_devices(config.trainer) * int(config.trainer.get("num_nodes") or 1)
    if global_batch_size % ranks:
        raise UserError(
            f"task.data.global_batch_size={global_batch_size} cannot be divided among {ranks} ranks: choose a multiple"
        )
    return global_batch_size // ranks


def refuse_embedding_options(config: Config) -> None:
    """Rejects options of the embedding that only classification supports.

    Raises:
        UserError: if one is set.
    """
    if config.embedding.adversarial_epsilon or config.embedding.init != "random":
        raise UserError("embedding.adversarial_epsilon and embedding.init are for tasks that classify: leave them out")


AnyRecipe: TypeAlias = TaskRecipe[Any, Any, Any, Any, Any]
