"""Base recipes of the synthetic tasks and of sequence labelling."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from torch import nn

from sluice.config.schema import Config
from sluice.config.tasks.sequences import SequenceBatches, SequenceTask
from sluice.data.corpus import Corpus, Sources
from sluice.data.fingerprints import fingerprint_of
from sluice.data.identity import DataIdentity
from sluice.data.sequence_parts import SequenceParts, stored_scheme
from sluice.errors import UserError
from sluice.inference.tagger import Symbols, Tagger
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recipes.build import build_embedding, build_stack
from sluice.recipes.task import TaskRecipe, batch_size_per_rank, refuse_embedding_options
from sluice.runs.evaluation import TEST_MONITOR
from sluice.runs.saved_model import SavedModel

if TYPE_CHECKING:
    from sluice.data.sequences import Split
    from sluice.data.task_sequences import TaskData
    from sluice.modules.regression import RegressionModule
    from sluice.modules.sequence_labelling import SequenceLabellingModule

    SequenceModule: TypeAlias = SequenceLabellingModule | RegressionModule

BATCHES = ("batch_size", "global_batch_size")
"""Settings of the data that do not affect the sequences."""
FINGERPRINT_NAMES = {"max_n": "longest", "test_max_n": "longest_test", "chunk_length": "chunk"}
"""Settings that fingerprints of the data name as earlier versions did, so that these stay valid."""
VERSION = 1
"""Version of the generators of adding, copy, echo, counting and waves; raise it when their sequences change."""

Settings = TypeVar("Settings", bound=SequenceTask)
CorpusType = TypeVar("CorpusType", bound=Corpus)
Problem = TypeVar("Problem")
"""Generator of the sequences of a task."""


@dataclass(frozen=True)
class GeneratedSequences(Generic[Problem]):
    """Generated sequences as a corpus."""

    problem: Problem
    """The generator."""
    description: str
    sources: Sources
    name: str = "generated"


class SequenceRecipe(TaskRecipe[Settings, CorpusType, "TaskData", "SequenceModule", SequenceParts]):
    """Sequence labelling or regression, with a prediction at each step."""

    kind = "sequence labelling"
    description = "makes a prediction at each step"
    usage = "sluice evaluate {run}"
    one_direction: ClassVar[bool] = True
    """Whether a bidirectional network would have access to its targets."""
    carries_state: ClassVar[bool] = False
    """Whether the recurrent state is carried over between batches."""

    def saved_parts(self, data: TaskData) -> SequenceParts:
        return data.parts

    def check(self, config: Config) -> None:
        refuse_embedding_options(config)
        if config.model.bidirectional and self.one_direction:
            raise UserError(
                f"task={config.task.name} cannot be combined with model.bidirectional=true, which "
                "gives the network access to its targets: set it to false"
            )
        super().check(config)

    def build_network(self, config: Config, parts: SequenceParts) -> nn.Module:
        embedding = build_embedding(config, len(parts["vocab"])) if parts["vocab"] else None
        if embedding is None:
            assert parts["features"] is not None
            recurrent = build_stack(config.model, input_size=parts["features"])
        else:
            recurrent = build_stack(config.model, input_size=embedding.output_size, one_hot=embedding.one_hot)
        return SequenceLabeller(
            embedding=embedding,
            recurrent=recurrent,
            input_dropout=config.model.input_dropout,
            num_outputs=parts["outputs"],
            output_dropout=self.settings(config).output_dropout,
        )

    def build_module(self, config: Config, data: TaskData) -> SequenceModule:
        network = self.new_network(config, data)
        return self.sequence_module(network, data.parts, **self.module_arguments(config, data))

    def module_for_test(self, model: SavedModel) -> SequenceModule:
        return self.sequence_module(model.network, self.parts_of(model.parts), monitor=TEST_MONITOR)

    def inference(self, model: SavedModel) -> Tagger | None:
        """Returns a tagger of the task's symbols; None for a network that reads numbers."""
        parts, network = self.parts_of(model.parts), model.network
        if not parts["vocab"] or not isinstance(network, SequenceLabeller):
            return None
        symbols = Symbols(parts["vocab"])
        names = parts["tags"] or parts["vocab"][: parts["outputs"]]
        return Tagger(network=network, vocab=symbols, tags=names, tokenize=symbols.split)

    def sequence_module(self, network: nn.Module, parts: SequenceParts, **options: Any) -> SequenceModule:
        """Builds the LightningModule of a network.

        Args:
            network: the network.
            parts: checkpoint contents besides the weights.
            options: further arguments of the LightningModule.
        """
        from sluice.modules.sequence_labelling import SequenceLabellingModule

        tags = tuple(parts["tags"]) if parts["tags"] else None
        scheme = stored_scheme(parts)
        return SequenceLabellingModule(
            network=network, tags=tags, scheme=scheme, carry_state=self.carries_state, **options
        )


class GeneratedRecipe(SequenceRecipe[Settings, GeneratedSequences[Problem]], Generic[Settings, Problem]):
    """Sequences that are generated at the start of training."""

    problem_type: Callable[..., Problem]
    """The generator; takes the settings of `task.data` except those of batches, and the seed."""

    @abstractmethod
    def parts(self, settings: Settings, problem: Problem) -> SequenceParts:
        """Returns the meaning of inputs and outputs."""

    def check(self, config: Config) -> None:
        if config.embedding.path is not None:
            raise UserError(
                f"embedding.path has no effect on the generated symbols of task={config.task.name}: leave it out"
            )
        super().check(config)

    def find_corpus(
        self, config: Config, *, may_fall_back: bool = True, known: tuple[str, ...] | None = None
    ) -> GeneratedSequences[Problem]:
        settings = self.settings(config)
        own = {name: value for name, value in vars(settings.data).items() if name not in BATCHES}
        listed = ", ".join(f"{name}={value}" for name, value in own.items())
        identity = ", ".join(f"{FINGERPRINT_NAMES.get(name, name)}={value}" for name, value in own.items())
        return GeneratedSequences(
            type(self).problem_type(**own, seed=config.seed),
            f"sequences generated by sluice ({listed}, seed={config.seed})",
            Sources(f"{settings.name} v{VERSION}, {identity}", seed=config.seed),
        )

    def build_data(self, config: Config, corpus: GeneratedSequences[Problem]) -> TaskData:
        from sluice.data.task_sequences import SequenceTaskData

        settings = self.settings(config)
        return SequenceTaskData(
            corpus=corpus,
            parts=self.parts(settings, corpus.problem),
            splits=partial(self.split, corpus.problem),
            batch_size=self.batch_size(config, settings),
            seed=config.seed,
            identity=self.identity(config, corpus),
        )

    def batch_size(self, config: Config, settings: Settings) -> int:
        """Returns the batch size of each rank.

        Raises:
            UserError: if the global batch size is not divisible by the number of ranks.
        """
        data = settings.data
        assert isinstance(data, SequenceBatches)
        return batch_size_per_rank(config, data.batch_size, data.global_batch_size)

    @abstractmethod
    def split(self, problem: Problem, name: str) -> Split:
        """Generates the split "train", "val" or "test"."""

    def identity(self, config: Config, corpus: GeneratedSequences[Problem]) -> DataIdentity:
        """Returns the fingerprint of the generator and its settings."""
        return DataIdentity(fingerprint_of(corpus.sources, Path(config.paths.cache_dir)))

    def data_summary(self, data: TaskData) -> list[str]:
        return ["generated at the start of training"]
