"""task=adding: the adding problem."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Adding
from sluice.data.sequence_parts import SequenceParts, sequence_parts
from sluice.data.synthetic.memory_problems import BASELINE
from sluice.data.synthetic.memory_problems import Adding as AddingProblem
from sluice.models.regressor import Regressor
from sluice.recipes.build import build_stack
from sluice.recipes.sequences import GeneratedRecipe

if TYPE_CHECKING:
    from sluice.data.sequences import Split
    from sluice.data.task_sequences import TaskData
    from sluice.recipes.sequences import SequenceModule


class AddingRecipe(GeneratedRecipe[Adding, AddingProblem]):
    """The adding problem: Hochreiter & Schmidhuber (1997), experiment 4."""

    settings_type = Adding
    problem_type = AddingProblem

    def split(self, problem: AddingProblem, name: str) -> Split:
        return problem.sequences(name)

    def parts(self, settings: Adding, problem: AddingProblem) -> SequenceParts:
        return sequence_parts(features=2)

    def build_network(self, config: Config, parts: SequenceParts) -> nn.Module:
        assert parts["features"] is not None
        return Regressor(
            recurrent=build_stack(config.model, input_size=parts["features"]),
            num_outputs=parts["outputs"],
            output_dropout=self.settings(config).output_dropout,
        )

    def sequence_module(self, network: nn.Module, parts: SequenceParts, **options: Any) -> SequenceModule:
        from sluice.modules.regression import RegressionModule

        return RegressionModule(network=network, **options)

    def extra_metrics(self, config: Config, data: TaskData, module: SequenceModule) -> dict[str, float]:
        """The RMSE of always predicting 1."""
        return {"baseline/rmse_always_1": math.sqrt(BASELINE)}
