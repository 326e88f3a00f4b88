"""task=waves: prediction of the next values of a noisy sum of sine waves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import nn

from sluice.config.schema import Config
from sluice.config.tasks.sequences import Waves
from sluice.data.ragged import Sequences
from sluice.data.sequence_parts import SequenceParts, sequence_parts
from sluice.data.synthetic.waves import Waves as WavesProblem
from sluice.data.synthetic.waves import last_step_error, last_value, linear_model
from sluice.recipes.sequences import GeneratedRecipe

if TYPE_CHECKING:
    from sluice.data.sequences import Split
    from sluice.data.task_sequences import TaskData
    from sluice.recipes.sequences import SequenceModule


class WavesRecipe(GeneratedRecipe[Waves, WavesProblem]):
    """Time-series forecasting on sums of sine waves."""

    settings_type = Waves
    problem_type = WavesProblem

    def split(self, problem: WavesProblem, name: str) -> Split:
        return problem.sequences(name)

    def parts(self, settings: Waves, problem: WavesProblem) -> SequenceParts:
        return sequence_parts(features=1, outputs=settings.data.horizon)

    def sequence_module(self, network: nn.Module, parts: SequenceParts, **options: Any) -> SequenceModule:
        from sluice.modules.regression import RegressionModule

        return RegressionModule(network=network, **options)

    def extra_metrics(self, config: Config, data: TaskData, module: SequenceModule) -> dict[str, float]:
        """Baseline RMSE at the last step: of repeating the last value, and of linear regression."""
        train, test = cast(Sequences, data.split("train")), cast(Sequences, data.split("test"))
        answers = {"last_value": last_value(test), "linear_model": linear_model(train, test)}
        return {f"baseline/last_step_{name}": last_step_error(values, test) for name, values in answers.items()}
