"""task=echo: repeat a stream of bits after a delay."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Echo
from sluice.data.sequence_parts import SequenceParts, sequence_parts
from sluice.data.synthetic.memory_problems import Echo as EchoProblem
from sluice.recipes.sequences import GeneratedRecipe, GeneratedSequences

if TYPE_CHECKING:
    from sluice.data.sequences import Split
    from sluice.data.task_sequences import StreamTaskData


class EchoRecipe(GeneratedRecipe[Echo, EchoProblem]):
    """The echo problem with truncated backpropagation: the state is carried over between chunks."""

    settings_type = Echo
    problem_type = EchoProblem
    carries_state = True

    def split(self, problem: EchoProblem, name: str) -> Split:
        return problem.sequences(name)

    def parts(self, settings: Echo, problem: EchoProblem) -> SequenceParts:
        return sequence_parts(vocab=["0", "1"], outputs=2)

    def build_data(self, config: Config, corpus: GeneratedSequences[EchoProblem]) -> StreamTaskData:
        from sluice.data.task_sequences import StreamTaskData

        settings = self.settings(config)
        return StreamTaskData(
            corpus=corpus,
            parts=self.parts(settings, corpus.problem),
            splits=partial(self.split, corpus.problem),
            chunk_length=settings.data.chunk_length,
            identity=self.identity(config, corpus),
        )
