"""Generated text in TensorBoard."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from sluice.callbacks import generated_text
from sluice.callbacks.generated_text import GeneratedText
from sluice.layers.embedding import make_embedding
from sluice.layers.heads import make_head
from sluice.models.language import LanguageModel
from sluice.recurrent import RecurrentStack
from sluice.text.language_text import LanguageText
from sluice.text.vocab import SPECIALS, Vocab


@pytest.mark.parametrize("prompt", ["", "THE Zyx", "the\n🙂 "])
def test_prompt_is_written_as_given(monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    vocab = Vocab([*SPECIALS, "<eos>", "the", "film"])
    network = LanguageModel(
        embedding=make_embedding("learned", vocab_size=5, size=4, padding_id=1, word_dropout=0.0),
        recurrent=RecurrentStack(cell="gru", input_size=4, hidden_size=4),
        head=make_head("full", input_size=4, vocab_size=5),
    ).eval()
    writer = Mock()
    monkeypatch.setattr(generated_text, "find_writer", lambda _: writer)
    monkeypatch.setattr(generated_text, "validation_step", lambda _: 3)
    trainer: Any = SimpleNamespace(sanity_checking=False)
    module: Any = SimpleNamespace(network=network, device=torch.device("cpu"))
    GeneratedText(text=LanguageText(vocab, "words"), prompt=prompt, tokens=4).on_validation_epoch_end(trainer, module)
    ((tag, text, step), _) = writer.add_text.call_args
    assert (tag, step) == ("val/written", 3)
    written = prompt.replace("\n", "  \n")
    assert text.startswith(written)
    assert len(text) > len(written)
