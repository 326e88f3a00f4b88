"""task=adding: the adding problem."""

import math
from typing import Any

from torch import nn

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Adding
from sluice.data.sequences import Split
from sluice.data.synthetic.memory_problems import BASELINE
from sluice.data.synthetic.memory_problems import Adding as AddingProblem
from sluice.models.regressor import Regressor
from sluice.modules.regression import RegressionModule
from sluice.recipes.build import build_stack
from sluice.recipes.sequences import GeneratedRecipe, SequenceModule, SequenceParts, TaskData, sequence_parts


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
        return RegressionModule(network=network, **options)

    def extra_metrics(self, config: Config, data: TaskData, module: SequenceModule) -> dict[str, float]:
        """The RMSE of always predicting 1."""
        return {"baseline/rmse_always_1": math.sqrt(BASELINE)}
