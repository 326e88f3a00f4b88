"""Results of programs, digit by digit."""

from typing import Any

import torch
from torch import Tensor

from sluice.data.collate import ParallelBatch
from sluice.layers.output_loss import OutputLoss
from sluice.metrics.perplexity import TokenLoss
from sluice.modules.translation import TranslationModule
from sluice.recurrent.devices import to_device


class ExecutionModule(TranslationModule):
    """Translation of programs to what they print, with the accuracy of a digit as a further figure.

    Each digit is predicted from the program and the right digits before it (Zaremba & Sutskever 2014, arXiv 1410.4615,
    section 4). A minus counts as a digit. The end of a result does not, which is easier to tell than a digit:
    `accuracy` counts it too.
    """

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: see TranslationModule.
        """
        super().__init__(**options)
        for stage in ("val", "test"):
            self.sums[f"{stage}_digit_accuracy"] = TokenLoss()

    @property
    def validation_metrics(self) -> list[str]:
        return [*super().validation_metrics, "val/digit_accuracy"]

    def _sum_up(self, cost: OutputLoss, features: Tensor, batch: ParallelBatch, stage: str) -> None:
        super()._sum_up(cost, features, batch, stage)
        if stage == "train":
            return
        rows = torch.arange(len(batch), device=features.device)
        at_end = features[rows, to_device(batch.target_lengths, features.device) - 1]
        ends = (self.network.log_probabilities(at_end).argmax(-1) == self.network.ids.end).sum()
        self.sums[f"{stage}_digit_accuracy"].update(cost.correct - ends, batch.tokens - len(batch))

    def _log_sums(self, stage: str, batch_size: int, *, loss_name: str) -> None:
        super()._log_sums(stage, batch_size, loss_name=loss_name)
        if stage != "train":
            digits = self.sums[f"{stage}_digit_accuracy"]
            self.log_epoch({f"{stage}/digit_accuracy": digits}, batch_size)
