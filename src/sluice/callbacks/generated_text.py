"""A text that the model writes after each validation, in TensorBoard."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from sluice.decoding.sampling import sample
from sluice.loggers.tensorboard import find_writer, validation_step
from sluice.models.language import LanguageModel
from sluice.text.language_text import LanguageText

SEED = 1


class GeneratedText(Callback):
    """Continues the same prompt with the same random numbers, which are not training's."""

    def __init__(self, *, text: LanguageText, prompt: str, tokens: int) -> None:
        """
        Args:
            text: from words to ids and back.
            prompt: how the text begins.
            tokens: how many are written; 0 for none.
        """
        self.text, self.prompt, self.tokens = text, prompt, tokens

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = find_writer(trainer)
        if writer is None or trainer.sanity_checking or not self.tokens:
            return
        network = pl_module.network
        assert isinstance(network, LanguageModel)
        ids = self.text.prompt_ids(self.prompt)
        last, state = network.prefill(torch.tensor([ids], device=pl_module.device))
        written = sample(
            network.step,
            last,
            state,
            tokens=self.tokens,
            banned=self.text.never_written,
            generator=torch.Generator(pl_module.device).manual_seed(SEED),
        )
        text = self.text.join([*ids[1:], *written.ids[0].tolist()]).replace("\n", "  \n")
        writer.add_text("val/written", text, validation_step(trainer))
