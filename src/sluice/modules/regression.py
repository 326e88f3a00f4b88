"""Values for every sequence, or for every step of it."""

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
    """Mean squared error; its root (rmse), and the error after the last step alone where every step is answered.

    All sequences have the same length. Every figure of an epoch is summed over all values and ranks.
    """

    network: Regressor | SequenceLabeller

    def __init__(self, **shared: Any) -> None:
        """
        Args:
            shared: what every task takes, see TaskModule.
        """
        super().__init__(**shared)
        self.errors: MetricDict[WeightedMean] = MetricDict({f"{stage}_loss": WeightedMean() for stage in STAGES})
        self.last: MetricDict[WeightedMean] = MetricDict({f"{stage}_last": WeightedMean() for stage in ("val", "test")})
        self.roots: MetricDict[RootMean] = MetricDict({f"{stage}_rmse": RootMean() for stage in ("val", "test")})

    @property
    def every_step(self) -> bool:
        """Whether the network answers at every step."""
        return isinstance(self.network, SequenceLabeller)

    @property
    def validation_metrics(self) -> list[str]:
        """What a validation logs; any of it can be monitored."""
        return ["val/loss", "val/rmse", *(["val/last_step"] if self.every_step else [])]

    def predict(self, batch: SequenceBatch) -> Tensor:
        """Values (B, K) or, of every step, (B, T, K)."""
        answer = self.network(batch.inputs, batch.lengths)
        return answer if isinstance(answer, Tensor) else answer.outputs

    def model_step(self, batch: SequenceBatch, stage: str) -> tuple[Tensor, Tensor]:
        """The mean squared error and the predicted values, of the shape of the targets; sums are kept for `stage`."""
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
