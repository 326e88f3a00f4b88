"""Prediction of program outputs, one digit at a time."""

from typing import Any

import torch
from torch import Tensor

from sluice.data.collate import ParallelBatch
from sluice.layers.output_loss import OutputLoss
from sluice.metrics.perplexity import TokenLoss
from sluice.modules.translation import TranslationModule
from sluice.recurrent.devices import to_device


class ExecutionModule(TranslationModule):
    """Translation of programs into their output; additionally logs the digit accuracy.

    Each digit is predicted from the program and the correct preceding digits (Zaremba & Sutskever 2014, arXiv
    1410.4615, section 4). A minus sign counts as a digit; the end-of-sequence token, which is easier to predict, does
    not. `accuracy` counts it too.
    """

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: arguments of TranslationModule.
        """
        super().__init__(**options)
        for stage in ("val", "test"):
            self.sums[f"{stage}_digit_accuracy"] = TokenLoss()

    @property
    def validation_metrics(self) -> list[str]:
        return [*super().validation_metrics, "val/digit_accuracy"]

    def _accumulate(self, loss: OutputLoss, features: Tensor, batch: ParallelBatch, stage: str) -> None:
        super()._accumulate(loss, features, batch, stage)
        if stage == "train":
            return
        rows = torch.arange(len(batch), device=features.device)
        at_end = features[rows, to_device(batch.target_lengths, features.device) - 1]
        ends = (self.network.log_probabilities(at_end).argmax(-1) == self.network.ids.end).sum()
        self.sums[f"{stage}_digit_accuracy"].update(loss.correct - ends, batch.tokens - len(batch))

    def _log_sums(self, stage: str, batch_size: int, *, loss_name: str) -> None:
        super()._log_sums(stage, batch_size, loss_name=loss_name)
        if stage != "train":
            digits = self.sums[f"{stage}_digit_accuracy"]
            self.log_epoch({f"{stage}/digit_accuracy": digits}, batch_size)
