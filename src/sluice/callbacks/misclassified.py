"""Misclassified validation texts and a precision-recall curve, in TensorBoard."""

from collections.abc import Callable

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from sluice.data.collate import LabelledBatch
from sluice.loggers.tensorboard import escape_markdown, find_writer, validation_step

MAX_WORDS_SHOWN = 150


class Misclassified(Callback):
    """After each validation, shows the texts whose true class got the least probability, and a PR curve.

    On several ranks, those of the first one's share.
    """

    def __init__(self, *, labels: tuple[str, ...], text_of: Callable[[int], str], count: int = 20) -> None:
        """
        Args:
            labels: class names.
            text_of: the validation text at a place of its split, for people.
            count: texts shown.
        """
        self.labels, self.text_of, self.count = labels, text_of, count
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: LabelledBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(outputs, dict)
        self._seen.append((outputs["probabilities"].cpu(), batch.labels.cpu(), batch.index))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seen, self._seen = self._seen, []
        writer = find_writer(trainer)
        if writer is None or trainer.sanity_checking or not seen:
            return
        probabilities, labels, index = (torch.cat(parts) for parts in zip(*seen, strict=True))
        step = validation_step(trainer)
        if len(self.labels) == 2:
            writer.add_pr_curve(f"val/{self.labels[1]}", labels, probabilities[:, 1], step)
        writer.add_text("val/most wrong", self._page(probabilities, labels, index), step)

    def _page(self, probabilities: Tensor, labels: Tensor, index: Tensor) -> str:
        """Markdown, the most wrong text first."""
        of_truth = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
        entries = []
        for place in of_truth.argsort()[: self.count].tolist():
            probability, predicted = probabilities[place].max(0)
            verdict = f"{self.labels[int(labels[place])]} taken for {self.labels[int(predicted)]}"
            entries.append(f"1. **{verdict} ({float(probability):.3f})** {self._excerpt(int(index[place]))}")
        return "\n".join(entries)

    def _excerpt(self, index: int) -> str:
        words = self.text_of(index).split()
        return escape_markdown(" ".join(words[:MAX_WORDS_SHOWN]) + (" …" if len(words) > MAX_WORDS_SHOWN else ""))
