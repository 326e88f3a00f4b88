"""Classification of text pairs, and evaluation of the words that the decision is based on."""

from typing import Any

from torch import Tensor

from sluice.data.collate import LabelledBatch, TextPairBatch
from sluice.metrics.accuracy import DecidingFound
from sluice.metrics.metric_dict import MetricDict
from sluice.models.pair_classifier import PairClassifier
from sluice.modules.classification import ClassificationModule


class PairModule(ClassificationModule):
    """Classification of text pairs, with the metrics of ClassificationModule.

    For a corpus that annotates the deciding words of a pair, `deciding_found` is the fraction of the annotated pairs in
    which the word with the largest contribution to the predicted class is a deciding word.
    """

    network: PairClassifier  # type: ignore[assignment]

    def __init__(self, *, has_deciding_words: bool, **options: Any) -> None:
        """
        Args:
            has_deciding_words: whether validation and test batches have annotated deciding words.
            options: arguments of ClassificationModule.
        """
        super().__init__(**options)
        stages = ("val", "test") if has_deciding_words else ()
        self.deciding: MetricDict[DecidingFound] = MetricDict(
            {f"{stage}_deciding": DecidingFound() for stage in stages}
        )

    @property
    def validation_metrics(self) -> list[str]:
        return [*super().validation_metrics, *(["val/deciding_found"] if self.deciding else [])]

    def compute_logits(self, batch: LabelledBatch, stage: str) -> Tensor:
        assert isinstance(batch, TextPairBatch)
        output = self.network(batch.ngrams, batch.offsets, batch.word_index, batch.lengths)
        if batch.deciding is not None:
            self.deciding[f"{stage}_deciding"].update(output.margin_contributions(), batch.deciding)
        return output.logits

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
