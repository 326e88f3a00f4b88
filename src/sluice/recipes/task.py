"""What a task brings: from its settings to its data and LightningModule, and what is done with its trained models."""

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast

from pytorch_lightning.callbacks import Callback
from torch import nn

from sluice.config.common import TaskSettings
from sluice.config.instantiate import factory
from sluice.config.schema import Config, schema_name
from sluice.config.user_code import checksum_of
from sluice.data.corpus import Corpus
from sluice.data.datamodule import Data
from sluice.distributed import devices_wanted, started_by_launcher
from sluice.errors import UserError
from sluice.modules.base import Monitor, TaskModule
from sluice.plain import Plain, PlainMapping
from sluice.recipes.build import freeze_vectors, load_vectors
from sluice.recipes.evaluation import Evaluation, Request, evaluate_whole_data
from sluice.recipes.saved_model import DEFAULT_CACHE, DEFAULT_OUTPUT, SavedModel
from sluice.runs.checkpoint import FORMAT

log = logging.getLogger(__name__)

OWN_FILES = (
    *("data.path", "data.validation_path", "data.test_path"),
    *("data.target_path", "data.validation_target_path", "data.test_target_path"),
)
"""Settings that name files of one's own, which may have been moved since the training."""


Settings = TypeVar("Settings", bound=TaskSettings)
CorpusType = TypeVar("CorpusType", bound=Corpus)
DataModule = TypeVar("DataModule", bound=Data)
Module = TypeVar("Module", bound=TaskModule)
Parts = TypeVar("Parts", bound=PlainMapping)


class TaskRecipe(ABC, Generic[Settings, CorpusType, DataModule, Module, Parts]):
    """A task: how its data and LightningModule are built, and how its trained models are evaluated and used.

    Type parameters: the dataclass of the task's settings, its corpus, its DataModule, its LightningModule, and the
    dictionary of what a checkpoint carries besides the weights.
    """

    settings_type: type[Settings]
    """The dataclass of `task.*`; its fields are made with `sluice.config.fields`."""
    kind: ClassVar[str] = "other"
    """Tasks of one kind have like networks, and can start from each other's weights (`init_from`)."""
    description: ClassVar[str] = "has a task from outside Sluice"
    """What its models do, as in "a model that classifies texts"."""
    usage: ClassVar[str] = "sluice evaluate {run}"
    """The command that uses a trained model; {run} stands for its folder."""
    evaluates_files: ClassVar[bool] = False
    """Whether `sluice evaluate --file` takes a file of labelled texts."""
    files_hint: ClassVar[str] = ""
    """What to use instead where it doesn't."""
    evaluation_methods: ClassVar[tuple[str, ...]] = ("plain",)
    """Values of `sluice evaluate --method`."""
    evaluation_settings: ClassVar[tuple[str, ...]] = OWN_FILES
    """Settings of the task, or groups of them, that `sluice evaluate --set` may change."""

    def settings(self, config: Config) -> Settings:
        """The task's own settings."""
        if not isinstance(config.task, self.settings_type):
            raise TypeError(f"expected settings of type {self.settings_type.__name__}, got {type(config.task)}")
        return config.task

    @abstractmethod
    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> CorpusType:
        """The corpus that the task's settings name.

        Args:
            config: the configuration.
            may_fall_back: whether the generated sample may stand in for a corpus that isn't there.
            known: classes or tags of a trained model, to which the texts must keep; None for those of the texts.

        Raises:
            UserError: if it isn't there and cannot be downloaded.
        """

    @abstractmethod
    def build_data(self, config: Config, corpus: CorpusType) -> DataModule:
        """The DataModule over a corpus.

        Raises:
            UserError: for settings that cannot be combined.
        """

    @abstractmethod
    def saved_parts(self, data: DataModule) -> Parts:
        """What a checkpoint carries besides the weights, so that it suffices alone: the vocabulary, the labels."""

    @abstractmethod
    def build_network(self, config: Config, parts: Parts) -> nn.Module:
        """The network with new weights.

        Args:
            config: the configuration.
            parts: what a checkpoint carries besides the weights, see `saved_parts`.

        Raises:
            UserError: for an unknown cell.
            ValueError: for sizes or probabilities that a layer rejects.
        """

    @abstractmethod
    def build_module(self, config: Config, data: DataModule) -> Module:
        """The LightningModule for training, with everything its checkpoints carry.

        Raises:
            UserError: for settings that cannot be combined.
        """

    @abstractmethod
    def module_for_test(self, model: SavedModel) -> Module:
        """The LightningModule around a trained network, for its test step."""

    def evaluate(self, model: SavedModel, request: Request) -> Evaluation:
        """Figures of a trained model; by default of a split of the task's data, which must be those of the training.

        Raises:
            UserError: if the data cannot be had or have changed.
        """
        data = self.build_data(model.config, self.find_corpus(model.config, may_fall_back=False))
        return evaluate_whole_data(model, data, self.module_for_test(model), request)

    def inference(self, model: SavedModel) -> object:
        """What uses a trained model on new inputs: one of the classes of `sluice.inference`; None if nothing does."""
        return None

    def callbacks(self, config: Config, data: DataModule) -> list[Callback]:
        """Callbacks of this task, such as those that write examples to TensorBoard."""
        return []

    def extra_figures(self, config: Config, data: DataModule, module: Module) -> dict[str, float]:
        """Figures of the tested network that are computed outside of the test loop, for results.json."""
        return {}

    def write_artifacts(self, module: Module, folder: Path) -> None:
        """Writes files of the test, such as a confusion matrix, into the run's folder."""

    def print_summary(self, module: Module) -> None:
        """Prints what the test gave besides figures."""

    def data_summary(self, data: DataModule) -> list[str]:
        """Lines on the sizes of the prepared data."""
        return []

    def prepare(self, config: Config, data: DataModule) -> None:
        """All work on the data that is done once and cached."""
        data.prepare_data()

    def new_network(self, config: Config, data: DataModule) -> nn.Module:
        """`build_network` for training, where whatever it rejects is a mistake in the settings.

        Raises:
            UserError: for sizes or probabilities that a layer rejects.
        """
        parts = self.saved_parts(data)
        try:
            network = self.build_network(config, parts)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.load_vectors(config, network, parts)
        return network

    def load_vectors(self, config: Config, network: nn.Module, parts: Parts) -> None:
        """Loads the vectors that `embedding.path` names into the embedding, and freezes it if the settings ask for it.

        Raises:
            UserError: if the file cannot be used, or the embedding isn't learned.
        """
        embedding, words = self.embedded_words(network, parts)
        if config.embedding.path is not None:
            load_vectors(embedding, config.embedding.path, words, config.seed)
        elif config.embedding.frozen and config.embedding.init == "random":
            log.warning("embedding.frozen=true without embedding.path: the random vectors stay as they are.")
        if config.embedding.frozen:
            freeze_vectors(embedding)

    def embedded_words(self, network: nn.Module, parts: Parts) -> tuple[object, list[str]]:
        """The embedding that the group `embedding` describes, None if there is none, and its words."""
        return getattr(network, "embedding", None), list(parts.get("vocab") or ())

    def module_arguments(self, config: Config, data: DataModule) -> Plain:
        """The arguments that every LightningModule of Sluice takes besides the network."""
        return {
            "monitor": Monitor(config.task.monitor, config.task.mode),
            "optimizer": factory("optimizer", config.optimizer),
            "schedule": factory("scheduler", config.scheduler) if config.scheduler else None,
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
        """What a checkpoint carries besides the weights, as this task's type."""
        return cast(Parts, saved)


def _portable(config: Config) -> Config:
    """The configuration as a checkpoint stores it: without the run's name and the folders that were written to."""
    paths = replace(config.paths, cache_dir=DEFAULT_CACHE, output_dir=DEFAULT_OUTPUT, run_dir=None)
    return replace(config, name=None, paths=paths)


def may_use_sample(config: Config, may_fall_back: bool) -> bool:
    """Whether the sample may stand in for a corpus that isn't there: only where a single process runs."""
    return may_fall_back and not started_by_launcher() and devices_wanted(config.trainer) == 1


def batch_size_per_rank(config: Config, batch_size: int, global_batch_size: int | None) -> int:
    """The batch size of each rank.

    Args:
        config: the configuration.
        batch_size: of each rank, where `global_batch_size` is None.
        global_batch_size: of all ranks together.

    Raises:
        UserError: if a batch of all ranks cannot be split evenly.
    """
    if global_batch_size is None:
        return batch_size
    ranks = devices_wanted(config.trainer) * int(config.trainer.get("num_nodes") or 1)
    if global_batch_size % ranks:
        raise UserError(
            f"task.data.global_batch_size={global_batch_size} cannot be divided among {ranks} ranks: choose a multiple"
        )
    return global_batch_size // ranks


def refuse_embedding_options(config: Config) -> None:
    """
    Raises:
        UserError: for options of the embedding that only classification has.
    """
    if config.embedding.adversarial_epsilon or config.embedding.init != "random":
        raise UserError("embedding.adversarial_epsilon and embedding.init are for tasks that classify: leave them out")


AnyRecipe: TypeAlias = TaskRecipe[Any, Any, Any, Any, Any]
