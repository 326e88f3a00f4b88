"""What a kind of task brings: its settings, texts, network, and what is done with them before and after training."""

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn

from sluice.config.schema import Config, schema_name
from sluice.data.identity import DataIdentity
from sluice.distributed import devices_wanted, started_by_launcher
from sluice.errors import UserError
from sluice.modules.base import Monitor, Task
from sluice.recipes.build import freeze_vectors, give_vectors
from sluice.recipes.instantiate import factory
from sluice.recipes.outside_code import checksum_of
from sluice.runs.checkpoint import FORMAT

log = logging.getLogger(__name__)


OWN_FILES = (
    *("data.path", "data.validation_path", "data.test_path"),
    *("data.target_path", "data.validation_target_path", "data.test_target_path"),
)
"""Settings that name files of one's own, which may have been moved since."""


class Corpus(Protocol):
    """Texts that a task reads."""

    @property
    def name(self) -> str:
        """What results.json calls it: "local", "download", "sample" or "file"."""

    @property
    def description(self) -> str:
        """Where the texts come from, for people."""


class Data(pl.LightningDataModule):
    """A DataModule over a corpus."""

    corpus: Any
    identity: DataIdentity


class Family(ABC):
    """A kind of task."""

    tasks: tuple[str, ...]
    """Names of its schemas."""
    deed: str
    """What its models do, as in "a model that classifies"."""
    use: str
    """The command that uses a trained model; {run} stands for its folder."""

    evaluated_with: tuple[str, ...] = OWN_FILES
    """Settings of the task, or groups of them, that an evaluation may change."""

    @abstractmethod
    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> Corpus:
        """The texts that the task names.

        Args:
            config: the configuration.
            may_fall_back: on the sample, for want of others.
            known: classes or tags of a trained model, to which the texts must keep; None for those of the texts.

        Raises:
            UserError: if they can't be had.
        """

    @abstractmethod
    def build_data(self, config: Config, corpus: Any) -> Any:
        """The DataModule.

        Raises:
            UserError: for settings that don't go together.
        """

    @abstractmethod
    def build_network(self, config: Config, parts: dict[str, Any]) -> nn.Module:
        """The network, with fresh weights.

        Args:
            config: the configuration.
            parts: what a checkpoint carries beside the weights, see `saved_parts`.

        Raises:
            UserError: for a cell that isn't there.
            ValueError: for sizes or shares that a part of the network refuses.
        """

    @abstractmethod
    def saved_parts(self, data: Any) -> dict[str, Any]:
        """What a checkpoint carries of the data, so that it suffices alone: plain containers, "vocab" among them."""

    @abstractmethod
    def build_task(self, config: Config, data: Any) -> Task:
        """The LightningModule, with everything its checkpoints carry.

        Raises:
            UserError: for settings that don't go together.
        """

    def callbacks(self, config: Config, data: Any) -> list[Callback]:
        """What TensorBoard gets of this family beyond scalars."""
        return []

    def more_figures(self, config: Config, data: Any, task: Any) -> dict[str, float]:
        """Figures of the tested network that one process takes on its own, for results.json."""
        return {}

    def keep(self, task: Any, folder: Path) -> None:  # noqa: B027 - most families have nothing more to keep
        """Writes what the test gave beyond figures into the run's folder."""

    def show(self, task: Any) -> None:  # noqa: B027
        """Prints, after the figures, what the test gave beyond them."""

    @abstractmethod
    def describe(self, data: Any) -> list[str]:
        """Lines on the prepared texts, for people."""

    def prepare(self, config: Config, data: Any) -> None:
        """All work on the texts that is done once and stored."""
        data.prepare_data()

    def network_for(self, config: Config, data: Any) -> nn.Module:
        """`build_network` for new training, where whatever it refuses is the user's to mend.

        Raises:
            UserError: for sizes or shares that a part of the network refuses.
        """
        parts = self.saved_parts(data)
        try:
            network = self.build_network(config, parts)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.read_vectors(config, network, parts)
        return network

    def read_vectors(self, config: Config, network: Any, parts: dict[str, Any]) -> None:
        """Gives the embedding the vectors that the configuration names, and keeps them as they are if that is asked.

        Raises:
            UserError: if the file is not as it should be, or the embedding isn't learned.
        """
        embedding, words = self.words_read(network, parts)
        if config.embedding.path is not None:
            give_vectors(embedding, config.embedding.path, words, config.seed)
        elif config.embedding.frozen and config.embedding.start == "random":
            log.warning("embedding.frozen=true without embedding.path: the random vectors stay as they are.")
        if config.embedding.frozen:
            freeze_vectors(embedding)

    def words_read(self, network: Any, parts: dict[str, Any]) -> tuple[Any, list[str]]:
        """The embedding that `embedding` describes, None where there is none, and its words."""
        return getattr(network, "embedding", None), parts.get("vocab", [])

    def shared_of_task(self, config: Config, data: Any) -> dict[str, Any]:
        """The arguments that every Task takes, but for the network."""
        return {
            "monitor": Monitor(config.task.monitor, config.task.mode),
            "optimizer": factory("optimizer", config.optimizer),
            "schedule": factory("scheduler", config.scheduler) if config.scheduler else None,
            "saved_with": {
                "format": FORMAT,
                "schema": schema_name(config.task),
                "config": asdict(config),
                "data_source": data.corpus.name,
                "data": data.identity.saved(),
                "module_checksum": checksum_of(config.model.module),
                **self.saved_parts(data),
            },
        }


def may_use_sample(config: Config, may_fall_back: bool) -> bool:
    """Whether the sample may stand in for texts that can't be had: only where one process runs alone."""
    return may_fall_back and not started_by_launcher() and devices_wanted(config.trainer) == 1


def batch_size_per_rank(config: Config) -> int:
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


def check_monitors(config: Config, known: list[str]) -> None:
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
