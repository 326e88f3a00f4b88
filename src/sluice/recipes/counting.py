"""task=counting: next-symbol prediction on a^n b^n or a^n b^n c^n."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Counting
from sluice.data.ragged import RaggedSequences
from sluice.data.sequence_parts import SequenceParts, sequence_parts
from sluice.data.synthetic.counting import SYMBOLS, first_failure, next_symbols
from sluice.data.synthetic.counting import Counting as CountingProblem
from sluice.layers.output_loss import IGNORED
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.recipes.sequences import GeneratedRecipe

if TYPE_CHECKING:
    from sluice.data.sequences import Split
    from sluice.data.task_sequences import TaskData
    from sluice.recipes.sequences import SequenceModule


class CountingRecipe(GeneratedRecipe[Counting, CountingProblem]):
    """Counting with context-free and context-sensitive languages: Gers & Schmidhuber (2001)."""

    settings_type = Counting
    problem_type = CountingProblem

    def parts(self, settings: Counting, problem: CountingProblem) -> SequenceParts:
        return sequence_parts(vocab=list(SYMBOLS), outputs=len(SYMBOLS))

    def split(self, problem: CountingProblem, name: str) -> Split:
        made = problem.strings(name)
        return RaggedSequences(made.ids, made.determined)

    def extra_metrics(self, config: Config, data: TaskData, module: SequenceModule) -> dict[str, float]:
        """The smallest n that fails; one above the largest tested n if none does."""
        settings = self.settings(config).data
        failed = first_failure(
            _passes(cast(SequenceLabeller, module.network.eval()), settings.language), settings.test_max_n
        )
        return {"test/first_failure": float(settings.test_max_n + 1 if failed is None else failed)}


def _passes(network: SequenceLabeller, language: str) -> Callable[[int], bool]:
    """Returns a function of n: whether every predictable symbol of the string for n is predicted."""

    def passes(n: int) -> bool:
        string = next_symbols(language, [n])
        ids = torch.from_numpy(string.ids.flat.astype("int64")).unsqueeze(0)
        targets = torch.from_numpy(string.determined.flat.astype("int64"))
        device = next(network.parameters()).device
        with torch.no_grad():
            predicted = network(ids.to(device), torch.tensor([ids.shape[1]])).outputs[0].argmax(-1).cpu()
        return bool(((predicted == targets) | (targets == IGNORED)).all())

    return passes
