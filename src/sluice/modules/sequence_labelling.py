"""Sequence labelling: a class for every step."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from sluice.data.collate import SequenceBatch
from sluice.layers.output_loss import IGNORED
from sluice.metrics.accuracy import ExactMatch, StepAccuracy
from sluice.metrics.metric_dict import MetricDict
from sluice.metrics.spans import SpanF1, SpanPrecision, SpanRecall
from sluice.metrics.weighted_mean import WeightedMean
from sluice.models.sequence_labeller import SequenceLabeller
from sluice.modules.base import STAGES, TaskModule


class SequenceLabellingModule(TaskModule):
    """Sequence labelling with cross-entropy.

    Logs step accuracy, exact matches and, for tags of spans in validation and test, their F1, precision and recall.

    Metrics of an epoch are computed over all steps, sequences and ranks, never averaged over batches.
    """

    network: SequenceLabeller

    def __init__(
        self,
        *,
        tags: tuple[str, ...] | None = None,
        scheme: str | None = None,
        carry_state: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            tags: class names; None for unnamed classes.
            scheme: scheme of the tags, one of `sluice.text.tag_spans.SCHEMES`; None for classes that do not mark spans.
            carry_state: batches are consecutive chunks of streams; the detached state is carried over between them.
            options: arguments of TaskModule.
        """
        super().__init__(**options)
        self.tags, self.chunked = tags, carry_state
        self.losses: MetricDict[WeightedMean] = MetricDict({f"{stage}_loss": WeightedMean() for stage in STAGES})
        self.metrics: MetricDict[MetricCollection] = MetricDict(
            {f"{stage}_metrics": _metrics(stage, tags, scheme) for stage in STAGES}
        )

    @property
    def validation_metrics(self) -> list[str]:
        """Names of the metrics logged in validation, which can be monitored."""
        return ["val/loss", *self.metrics["val_metrics"]]

    def model_step(self, batch: SequenceBatch, stage: str) -> tuple[Tensor, Tensor]:
        """Returns the mean loss over steps with a target and the logits (B, T, K); updates the metrics of `stage`."""
        carries = self.chunked and not batch.first
        state = self.carried_state(stage, len(batch.lengths)) if carries else None
        logits, after = self.network(batch.inputs, batch.lengths, state)
        if self.chunked:
            self.carry_over(stage, after)
        counted = (batch.targets != IGNORED).sum()
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")
        loss = loss / counted.clamp_min(1)
        self.losses[f"{stage}_loss"].update(loss, counted)
        self.metrics[f"{stage}_metrics"].update(
            predicted=logits.detach().argmax(-1), targets=batch.targets, lengths=batch.lengths
        )
        return loss, logits

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        loss, _ = self.model_step(batch, "train")
        self.log("train/loss", loss.detach(), batch_size=len(batch))
        self._log_metrics("train", "epoch_loss", batch)
        return loss

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self.model_step(batch, "val")
        self._log_metrics("val", "loss", batch)

    def test_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self.model_step(batch, "test")
        self._log_metrics("test", "loss", batch)

    def _log_metrics(self, stage: str, loss: str, batch: SequenceBatch) -> None:
        self.log_epoch({f"{stage}/{loss}": self.losses[f"{stage}_loss"]}, len(batch))
        self.log_epoch(self.metrics[f"{stage}_metrics"], len(batch))


def _metrics(stage: str, tags: tuple[str, ...] | None, scheme: str | None) -> MetricCollection:
    metrics: dict[str, Metric | MetricCollection] = {"accuracy": StepAccuracy(), "exact": ExactMatch()}
    if stage != "train" and tags and scheme is not None:
        scores = {"f1": SpanF1, "precision": SpanPrecision, "recall": SpanRecall}
        metrics |= {name: metric(tags, scheme) for name, metric in scores.items()}
    return MetricCollection(metrics, prefix=f"{stage}/", compute_groups=False)
