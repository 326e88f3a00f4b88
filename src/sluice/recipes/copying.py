"""task=copy: the copy problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Copy
from sluice.data.sequence_parts import SequenceParts, sequence_parts
from sluice.data.synthetic.memory_problems import Copying
from sluice.recipes.sequences import GeneratedRecipe, GeneratedSequences

if TYPE_CHECKING:
    from sluice.data.sequences import Split
    from sluice.data.task_sequences import TaskData
    from sluice.recipes.sequences import SequenceModule


class CopyRecipe(GeneratedRecipe[Copy, Copying]):
    """The copy problem."""

    settings_type = Copy
    problem_type = Copying

    def split(self, problem: Copying, name: str) -> Split:
        return problem.sequences(name)

    def parts(self, settings: Copy, problem: Copying) -> SequenceParts:
        symbols = [str(number) for number in range(problem.num_ids)]
        return sequence_parts(vocab=symbols, outputs=len(symbols))

    def extra_metrics(self, config: Config, data: TaskData, module: SequenceModule) -> dict[str, float]:
        """The loss of guessing the symbols at random."""
        return {"baseline/loss_guessing": cast(GeneratedSequences[Copying], data.corpus).problem.baseline}
