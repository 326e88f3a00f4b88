"""Translations and attention weights in TensorBoard."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sluice.inference.translator import attention_map
from sluice.loggers.tensorboard import escape_markdown, find_writer, validation_step
from sluice.modules.translation import ScoredTranslation


class Translations(Callback):
    """Logs translations of validation sentences to TensorBoard after each validation.

    Writes sources, references and translations as text "val/translations", and attention weights as images
    "val/attention N". The sentences are the same every time. With several ranks, only sentences of rank 0 are used.
    """

    def __init__(self, *, size: int, count: int = 10, maps: int = 4) -> None:
        """
        Args:
            size: number of pairs in the validation split.
            count: number of evenly spaced pairs to log.
            maps: number of pairs to log with attention weights.
        """
        self.shown = {index * size // count for index in range(count)} if count else set()
        self.maps = maps
        self._collected: list[ScoredTranslation] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(outputs, dict)
        self._collected += [scored for scored in outputs["translations"] if scored.pair_index in self.shown]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        collected, self._collected = sorted(self._collected, key=lambda scored: scored.pair_index), []
        writer = find_writer(trainer)
        if writer is None or trainer.sanity_checking or not collected:
            return
        step = validation_step(trainer)
        writer.add_text("val/translations", _page(collected), step)
        for number, scored in enumerate(collected[: self.maps], start=1):
            if scored.translation.attention is not None:
                writer.add_figure(f"val/attention {number}", attention_map(scored.translation), step)


def _page(collected: list[ScoredTranslation]) -> str:
    """A Markdown list with three lines per sentence."""
    entries = []
    for scored in collected:
        lines = {"source": scored.source, "reference": scored.reference, "translation": scored.translation.text}
        entries.append("1. " + "  \n   ".join(f"**{name}** {escape_markdown(text)}" for name, text in lines.items()))
    return "\n".join(entries)
