"""Classification of pairs of texts, and whether the words that decided are those that should have."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from sluice.data.collate import TextPairBatch
from sluice.models.pair_classifier import PairClassifier
from sluice.modules.classification import ClassificationTask


class PairTask(ClassificationTask):
    """Cross-entropy over classes, with the metrics of any classification.

    Where the corpus knows the words that decide, also the share of its pairs with such words of which the word that
    moved the predicted class's logit most is one of them.
    """

    network: PairClassifier  # type: ignore[assignment]

    def __init__(self, *, knows_deciding: bool, **options: Any) -> None:
        """
        Args:
            knows_deciding: whether batches of validation and test come with their deciding words.
            options: what ClassificationTask takes.
        """
        super().__init__(**options)
        stages = ("val", "test") if knows_deciding else ()
        self.deciding: Any = nn.ModuleDict({f"{stage}_deciding": DecidingFound() for stage in stages})

    @property
    def validation_metrics(self) -> list[str]:
        return [*super().validation_metrics, *(["val/deciding_found"] if self.deciding else [])]

    def logits_of(self, batch: TextPairBatch, stage: str) -> Tensor:
        paired = self.network(batch.ngrams, batch.offsets, batch.places, batch.lengths)
        if batch.deciding is not None:
            self.deciding[f"{stage}_deciding"].update(paired.moved(), batch.deciding)
        return paired.logits

    def validation_step(self, batch: TextPairBatch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().validation_step(batch, batch_idx)
        self._log_deciding("val", batch)
        return outputs

    def test_step(self, batch: TextPairBatch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().test_step(batch, batch_idx)
        self._log_deciding("test", batch)
        return outputs

    def _log_deciding(self, stage: str, batch: TextPairBatch) -> None:
        if self.deciding:
            name, metric = f"{stage}/deciding_found", self.deciding[f"{stage}_deciding"]
            self.log(name, metric, on_step=False, on_epoch=True, batch_size=len(batch))


class DecidingFound(Metric):
    """Of the pairs with deciding words, the share in which one of them moved the logit most; summed over all ranks."""

    found: Tensor
    all: Tensor
    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("found", "all"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, moved: Tensor, deciding: Tensor) -> None:
        """Adds pairs: (B, 2 T) how far each word moved the logit, and (2 B, T) the deciding ones."""
        telling = torch.cat(deciding.chunk(2), 1)
        first_shown = telling.gather(1, moved.argmax(1, keepdim=True)).squeeze(1)
        self.found += first_shown.sum()
        self.all += telling.any(1).sum()

    def compute(self) -> Tensor:
        """0 where no pair has any."""
        return self.found / self.all.clamp_min(1)
