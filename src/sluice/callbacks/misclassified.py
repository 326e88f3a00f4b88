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
    """Logs misclassified texts and a precision-recall curve to TensorBoard after each validation.

    Writes the misclassified validation texts with the lowest probability of the true class as text "val/most wrong"
    and, for two classes, the precision-recall curve of the second as "val/CLASS". With several ranks, only texts of
    rank 0 are used.
    """

    def __init__(self, *, labels: tuple[str, ...], text_of: Callable[[int], str], count: int = 20) -> None:
        """
        Args:
            labels: class names.
            text_of: returns the human-readable validation text at an index of its split.
            count: maximum number of texts.
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
        """A Markdown list of the misclassified texts, sorted by increasing probability of the true class."""
        true_probability = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
        wrong = (probabilities.argmax(1) != labels).nonzero().squeeze(1)
        entries = []
        for row in wrong[true_probability[wrong].argsort()][: self.count].tolist():
            probability, predicted = probabilities[row].max(0)
            title = f"{self.labels[int(labels[row])]} classified as {self.labels[int(predicted)]}"
            entries.append(f"1. **{title} ({float(probability):.3f})** {self._excerpt(int(index[row]))}")
        return "\n".join(entries) or f"All {len(labels):,} validation texts are classified correctly."

    def _excerpt(self, index: int) -> str:
        words = self.text_of(index).split()
        return escape_markdown(" ".join(words[:MAX_WORDS_SHOWN]) + (" …" if len(words) > MAX_WORDS_SHOWN else ""))
