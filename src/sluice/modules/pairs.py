"""Classification of pairs of texts, and whether the words that decided are those that should have."""

from typing import Any

from torch import Tensor

from sluice.data.collate import LabelledBatch, TextPairBatch
from sluice.metrics.accuracy import DecidingFound
from sluice.metrics.metric_dict import MetricDict
from sluice.models.pair_classifier import PairClassifier
from sluice.modules.classification import ClassificationModule


class PairModule(ClassificationModule):
    """Cross-entropy over classes, with the metrics of any classification.

    Where the corpus knows the words that decide, also the share of its pairs with such words of which the word that
    moved the predicted class's logit most is one of them.
    """

    network: PairClassifier  # type: ignore[assignment]

    def __init__(self, *, knows_deciding: bool, **options: Any) -> None:
        """
        Args:
            knows_deciding: whether batches of validation and test come with their deciding words.
            options: what ClassificationModule takes.
        """
        super().__init__(**options)
        stages = ("val", "test") if knows_deciding else ()
        self.deciding: MetricDict[DecidingFound] = MetricDict(
            {f"{stage}_deciding": DecidingFound() for stage in stages}
        )

    @property
    def validation_metrics(self) -> list[str]:
        return [*super().validation_metrics, *(["val/deciding_found"] if self.deciding else [])]

    def logits_of(self, batch: LabelledBatch, stage: str) -> Tensor:
        assert isinstance(batch, TextPairBatch)
        paired = self.network(batch.ngrams, batch.offsets, batch.places, batch.lengths)
        if batch.deciding is not None:
            self.deciding[f"{stage}_deciding"].update(paired.logit_margins(), batch.deciding)
        return paired.logits

    def validation_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().validation_step(batch, batch_idx)
        self._log_deciding("val", batch)
        return outputs

    def test_step(self, batch: LabelledBatch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().test_step(batch, batch_idx)
        self._log_deciding("test", batch)
        return outputs

    def _log_deciding(self, stage: str, batch: LabelledBatch) -> None:
        if self.deciding:
            name, metric = f"{stage}/deciding_found", self.deciding[f"{stage}_deciding"]
            self.log_epoch({name: metric}, len(batch))
