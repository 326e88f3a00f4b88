"""From sentences to their translations, with a trained network."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sluice.decoding.search import DecodingSettings
from sluice.decoding.steps import Hypothesis
from sluice.decoding.unk_replacement import replace_unknowns
from sluice.layers.pooling import step_mask
from sluice.models.seq2seq import Seq2Seq
from sluice.text.coder import END, SentenceCoder
from sluice.text.vocab import PADDING_ID, UNKNOWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Translation(NamedTuple):
    """One translation of a sentence."""

    text: str
    """For people."""
    words: list[str]
    """As the model wrote them, unknown ones replaced, without the end."""
    source_words: list[str]
    """As they stand in the source, up to where it was cut."""
    weights: Tensor | None
    """(words + 1, source words + 1), where the model looked for each word and for the end; None without attention."""
    score: float
    """What the search ranked by."""


class Translator:
    """A trained network with the vocabularies of its source and target language."""

    wanted: ClassVar[str] = "translates"
    """What a command that takes such a model says it wants."""

    def __init__(
        self,
        *,
        network: Seq2Seq,
        source: SentenceCoder,
        target: SentenceCoder,
        replaces_unknown: bool = True,
        max_length: int | None = None,
        source_of: Callable[[str], str] | None = None,
        decoding: DecodingSettings | None = None,
    ) -> None:
        """
        Args:
            network: the network.
            source: vocabulary and tokenizer of the source language.
            target: vocabulary and tokenizer of the target language.
            replaces_unknown: whether an unknown word is replaced by the source word with the largest attention weight.
            max_length: most tokens of a typed sentence that are read; None for all.
            source_of: from a typed text to the source that it stands for; None takes it as it is.
            decoding: how the model is searched if nothing else is asked for; None for the defaults.
        """
        self.max_length, self.source_of = max_length, source_of or (lambda text: text)
        self.decoding = decoding or DecodingSettings()
        self.network, self.source, self.target = network, source, target
        self.replaces_unknown = replaces_unknown

    def translate(
        self, texts: Sequence[str], settings: DecodingSettings, *, max_length: int | None = None, batch_size: int = 64
    ) -> list[list[Translation]]:
        """The best translations of each sentence, the best first.

        Args:
            texts: sentences, not empty.
            settings: how to search.
            max_length: most tokens of a sentence that are read; None for all.
            batch_size: sentences searched for at the same time.
        """
        ids = [torch.tensor(self.source.source_ids(text, max_length)) for text in texts]
        order = sorted(range(len(texts)), key=lambda place: -len(ids[place]))
        found: list[list[Translation]] = [[] for _ in texts]
        device = self.network.output.weight.device
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            padded = pad_sequence([ids[place] for place in places], batch_first=True, padding_value=PADDING_ID)
            lengths = torch.tensor([len(ids[place]) for place in places])
            made = self.translate_ids(padded.to(device), lengths, [texts[place] for place in places], settings)
            for place, translations in zip(places, made, strict=True):
                found[place] = translations
        return found

    def translate_ids(
        self, source: Tensor, lengths: Tensor, texts: Sequence[str], settings: DecodingSettings
    ) -> list[list[Translation]]:
        """The same for a padded batch.

        Args:
            source: (B, S) int64, each sentence with its end.
            lengths: (B,) int64 on the CPU.
            texts: the sentences as they were written.
            settings: how to search.
        """
        found = self.network.translate(source, lengths, settings)
        words = [self.source.unit.raw(text)[: length - 1] for text, length in zip(texts, lengths.tolist(), strict=True)]
        return [
            [self._written(hypothesis, own) for hypothesis in hypotheses]
            for hypotheses, own in zip(found, words, strict=True)
        ]

    @torch.no_grad()
    def encode(self, texts: Sequence[str], *, mean: bool = False, batch_size: int = 64) -> NDArray[np.float32]:
        """Vectors of source sentences or phrases.

        Args:
            texts: not empty.
            mean: the mean of the encoder's outputs at the words, without the mark of the end; else the final state of
                the top layer, both directions side by side.
            batch_size: texts that are read together.

        Returns:
            (N, D).
        """
        ids, found = [torch.tensor(self.source.source_ids(text)) for text in texts], []
        for start in range(0, len(ids), batch_size):
            some = ids[start : start + batch_size]
            lengths = torch.tensor([len(own) for own in some])
            padded = pad_sequence(some, batch_first=True, padding_value=PADDING_ID)
            outputs, state = self.network.run_encoder(padded, lengths)
            inside = step_mask(lengths - 1, outputs.shape[1], outputs.device).unsqueeze(-1)
            means = (outputs * inside).sum(1) / (lengths - 1).unsqueeze(1)
            last = torch.cat(state.hidden[-self.network.encoder.directions :].unbind(0), -1)
            found.append(means if mean else last)
        vectors: NDArray[np.float32] = torch.cat(found).numpy()
        return vectors

    def _written(self, hypothesis: Hypothesis, source_words: list[str]) -> Translation:
        words = self.target.tokens(hypothesis.words)
        weights = hypothesis.weights
        if self.replaces_unknown:
            words = replace_unknowns(words, weights, source_words, UNKNOWN)
        seen = None if weights is None else weights[:, : len(source_words) + 1]
        return Translation(self.target.text(words), words, source_words, seen, hypothesis.score)


def axes_of(translation: Translation) -> tuple[list[str], list[str]]:
    """What the columns and the rows of a translation's weights stand for: source words and words, with their ends."""
    return [*translation.source_words, END], [*translation.words, END]


def attention_map(translation: Translation) -> "Figure":
    """A row for each word written, a column for each word read; darker where the weight is larger.

    Raises:
        ValueError: if the translation has no weights.
    """
    if translation.weights is None:
        raise ValueError("a model without attention has no map of it: train with another task.attention than none")
    from sluice.plots.attention import draw_attention  # matplotlib is slow to import

    columns, rows = axes_of(translation)
    return draw_attention(translation.weights.float().numpy(), looking=rows, looked_at=columns, most=1)
