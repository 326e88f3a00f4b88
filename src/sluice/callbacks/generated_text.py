"""Generated text in TensorBoard."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from sluice.decoding.sampling import sample
from sluice.loggers.tensorboard import find_writer, validation_step
from sluice.models.language import LanguageModel
from sluice.text.language_text import LanguageText

SEED = 1
"""Seed of the sampling."""


class GeneratedText(Callback):
    """Generates a continuation of a prompt after each validation, as text "val/written" in TensorBoard.

    Uses the same seed every time, and its own generator, so that training is unaffected.
    """

    def __init__(self, *, text: LanguageText, prompt: str, tokens: int) -> None:
        """
        Args:
            text: vocabulary and tokenizer.
            prompt: the prompt.
            tokens: number of tokens to generate; 0 disables the callback.
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
        generated = sample(
            network.step,
            last,
            state,
            tokens=self.tokens,
            banned=self.text.banned_ids,
            generator=torch.Generator(pl_module.device).manual_seed(SEED),
        )
        text = self.text.append(self.prompt, generated.ids[0].tolist()).replace("\n", "  \n")
        writer.add_text("val/written", text, validation_step(trainer))
