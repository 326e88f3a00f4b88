"""What validation wrote, in TensorBoard: a few translations, and where the model looked."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sluice.inference.translator import attention_map
from sluice.loggers.tensorboard import escape_markdown, find_writer, validation_step
from sluice.modules.translation import ScoredTranslation


class Translations(Callback):
    """After each validation, shows a few sentences with their reference and translation, and attention as maps.

    The same sentences every time; on several ranks, those of the first one's share.
    """

    def __init__(self, *, size: int, count: int = 10, maps: int = 4) -> None:
        """
        Args:
            size: pairs of the validation split, of which `count` are taken at even distances.
            count: translations shown.
            maps: of them with a map of the attention.
        """
        self.shown = {place * size // count for place in range(count)} if count else set()
        self.maps = maps
        self._seen: list[ScoredTranslation] = []

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
        self._seen += [scored for scored in outputs["translations"] if scored.pair_index in self.shown]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seen, self._seen = sorted(self._seen, key=lambda scored: scored.pair_index), []
        writer = find_writer(trainer)
        if writer is None or trainer.sanity_checking or not seen:
            return
        step = validation_step(trainer)
        writer.add_text("val/translations", _page(seen), step)
        for place, scored in enumerate(seen[: self.maps]):
            if scored.translation.weights is not None:
                writer.add_figure(f"val/attention {place + 1}", attention_map(scored.translation), step)


def _page(seen: list[ScoredTranslation]) -> str:
    """Markdown, three lines a sentence."""
    entries = []
    for scored in seen:
        lines = {"source": scored.source, "reference": scored.reference, "translation": scored.translation.text}
        entries.append("1. " + "  \n   ".join(f"**{name}** {escape_markdown(text)}" for name, text in lines.items()))
    return "\n".join(entries)
