"""Regression: values for every sequence or for every step."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from sluice.data.collate import SequenceBatch
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.weighted_mean import RootMean, WeightedMean
from sluice.models.regressor import Regressor
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.modules.base import STAGES, TaskModule


class RegressionModule(TaskModule):
    """Regression with mean squared error; logs its root (rmse) and, for outputs at every step, the last step's error.

    All sequences have the same length. Metrics of an epoch are computed over all values and ranks.
    """

    network: Regressor | SequenceLabeller

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: arguments of TaskModule.
        """
        super().__init__(**options)
        self.errors: MetricDict[WeightedMean] = MetricDict({f"{stage}_loss": WeightedMean() for stage in STAGES})
        self.last: MetricDict[WeightedMean] = MetricDict({f"{stage}_last": WeightedMean() for stage in ("val", "test")})
        self.roots: MetricDict[RootMean] = MetricDict({f"{stage}_rmse": RootMean() for stage in ("val", "test")})

    @property
    def every_step(self) -> bool:
        """Whether the network has an output at every step."""
        return isinstance(self.network, SequenceLabeller)

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored."""
        return ["val/loss", "val/rmse", *(["val/last_step"] if self.every_step else [])]

    def predict(self, batch: SequenceBatch) -> Tensor:
        """Returns the predicted values: (B, K), or (B, T, K) for outputs at every step."""
        output = self.network(batch.inputs, batch.lengths)
        return output if isinstance(output, Tensor) else output.outputs

    def model_step(self, batch: SequenceBatch, stage: str) -> tuple[Tensor, Tensor]:
        """Returns the loss and the predictions in the shape of the targets; accumulates the loss of `stage`."""
        predicted = self.predict(batch).view_as(batch.targets)
        loss = F.mse_loss(predicted, batch.targets)
        self.errors[f"{stage}_loss"].update(loss, batch.targets.numel())
        return loss, predicted

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        loss, _ = self.model_step(batch, "train")
        self.log("train/loss", loss.detach(), batch_size=len(batch))
        self.log_epoch({"train/epoch_loss": self.errors["train_loss"]}, len(batch))
        return loss

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def _evaluate(self, batch: SequenceBatch, stage: str) -> None:
        loss, predicted = self.model_step(batch, stage)
        self.roots[f"{stage}_rmse"].update(loss, batch.targets.numel())
        metrics = {f"{stage}/loss": self.errors[f"{stage}_loss"], f"{stage}/rmse": self.roots[f"{stage}_rmse"]}
        if self.every_step:
            error = F.mse_loss(predicted[:, -1], batch.targets[:, -1])
            self.last[f"{stage}_last"].update(error, batch.targets[:, -1].numel())
            metrics[f"{stage}/last_step"] = self.last[f"{stage}_last"]
        self.log_epoch(metrics, len(batch))
