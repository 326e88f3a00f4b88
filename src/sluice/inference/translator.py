"""Translation of sentences with a trained network."""

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
from sluice.recurrent.states import top_hidden
from sluice.text.coder import EOS, SentenceCoder
from sluice.text.vocab import PADDING_ID, UNKNOWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Translation(NamedTuple):
    """One translation of a sentence."""

    text: str
    """The detokenized translation."""
    words: list[str]
    """The target tokens without `<eos>`; `<unk>` is replaced if the translator replaces unknown words."""
    source_words: list[str]
    """The source tokens without `<eos>`, after truncation."""
    weights: Tensor | None
    """(words + 1, source words + 1), attention weights of each target token, `<eos>` included; None without
    attention."""
    score: float
    """The score of the search: log-probability divided by the length penalty."""


class Translator:
    """Translates sentences with a trained network and the vocabularies of its source and target language."""

    description: ClassVar[str] = "translates"
    """Completes "a model that ..." in error messages."""

    def __init__(
        self,
        *,
        network: Seq2Seq,
        source: SentenceCoder,
        target: SentenceCoder,
        replace_unknown: bool = True,
        max_length: int | None = None,
        preprocess: Callable[[str], str] | None = None,
        decoding: DecodingSettings | None = None,
    ) -> None:
        """
        Args:
            network: the network, in evaluation mode.
            source: vocabulary and tokenizer of the source language.
            target: vocabulary and tokenizer of the target language.
            replace_unknown: whether `<unk>` is replaced by the source word with the largest attention weight.
            max_length: maximum number of source tokens of user input; None for all.
            preprocess: converts user input to a source sentence; None leaves it unchanged.
            decoding: default settings of the search; None for greedy search.
        """
        self.max_length, self.preprocess = max_length, preprocess or (lambda text: text)
        self.decoding = decoding or DecodingSettings()
        self.network, self.source, self.target = network, source, target
        self.replace_unknown = replace_unknown

    def translate(
        self, texts: Sequence[str], settings: DecodingSettings, *, max_length: int | None = None, batch_size: int = 64
    ) -> list[list[Translation]]:
        """Translates sentences.

        Args:
            texts: the sentences. Those without tokens, such as blank ones, have empty translations.
            settings: settings of the search.
            max_length: maximum number of source tokens; None for all.
            batch_size: number of sentences decoded together.

        Returns:
            `settings.n_best` translations of each sentence, the best first.

        Raises:
            ValueError: if `settings` are inconsistent.
        """
        ids = [torch.tensor(self.source.source_ids(text, max_length)) for text in texts]
        order = sorted(range(len(texts)), key=lambda index: -len(ids[index]))
        found: list[list[Translation]] = [[] for _ in texts]
        device = self.network.output.weight.device
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            padded = pad_sequence([ids[index] for index in batch], batch_first=True, padding_value=PADDING_ID)
            lengths = torch.tensor([len(ids[index]) for index in batch])
            translated = self.translate_ids(padded.to(device), lengths, [texts[index] for index in batch], settings)
            for index, translations in zip(batch, translated, strict=True):
                found[index] = translations
        return found

    def translate_ids(
        self, source: Tensor, lengths: Tensor, texts: Sequence[str], settings: DecodingSettings
    ) -> list[list[Translation]]:
        """Translates a padded batch of token ids.

        Args:
            source: (B, S) int64, each sentence with `<eos>`.
            lengths: (B,) int64 on the CPU.
            texts: the B sentences before tokenization.
            settings: settings of the search.

        Returns:
            As `translate`.
        """
        found = self.network.translate(source, lengths, settings)
        words = [self.source.unit.raw(text)[: length - 1] for text, length in zip(texts, lengths.tolist(), strict=True)]
        empty = Translation("", [], [], None, 0.0)
        return [
            [self._translation(hypothesis, source_words) if length > 1 else empty for hypothesis in hypotheses]
            for hypotheses, source_words, length in zip(found, words, lengths.tolist(), strict=True)
        ]

    @torch.no_grad()
    def encode(self, texts: Sequence[str], *, mean: bool = False, batch_size: int = 64) -> NDArray[np.float32]:
        """Encodes source sentences or phrases as vectors.

        Args:
            texts: N texts with at least one token each.
            mean: return the mean of the encoder's outputs over the words (without `<eos>`) instead of the final hidden
                state of its top layer (both directions concatenated).
            batch_size: number of texts encoded together.

        Returns:
            (N, directions · H).
        """
        ids, found = [torch.tensor(self.source.source_ids(text)) for text in texts], []
        for start in range(0, len(ids), batch_size):
            batch = ids[start : start + batch_size]
            lengths = torch.tensor([len(text) for text in batch])
            padded = pad_sequence(batch, batch_first=True, padding_value=PADDING_ID)
            outputs, state = self.network.run_encoder(padded, lengths)
            mask = step_mask(lengths - 1, outputs.shape[1], outputs.device).unsqueeze(-1)
            means = (outputs * mask).sum(1) / (lengths - 1).unsqueeze(1)
            found.append(means if mean else top_hidden(state, self.network.encoder.directions))
        vectors: NDArray[np.float32] = torch.cat(found).numpy()
        return vectors

    def _translation(self, hypothesis: Hypothesis, source_words: list[str]) -> Translation:
        words = self.target.tokens(hypothesis.words)
        weights = hypothesis.weights
        if self.replace_unknown:
            words = replace_unknowns(words, weights, source_words, UNKNOWN)
        if weights is not None:
            weights = weights[:, : len(source_words) + 1]
        return Translation(self.target.text(words), words, source_words, weights, hypothesis.score)


def attention_labels(translation: Translation) -> tuple[list[str], list[str]]:
    """Column and row labels of a translation's attention weights: source and target tokens, each with `<eos>`."""
    return [*translation.source_words, EOS], [*translation.words, EOS]


def attention_map(translation: Translation) -> "Figure":
    """Draws the attention weights of a translation: a row per target token, a column per source token.

    Raises:
        ValueError: if the translation has no attention weights.
    """
    if translation.weights is None:
        raise ValueError(
            "a model without attention has no attention weights to draw: train with another task.attention than none"
        )
    from sluice.plots.attention import draw_attention  # matplotlib is slow to import

    columns, rows = attention_labels(translation)
    return draw_attention(translation.weights.float().numpy(), row_labels=rows, column_labels=columns, vmax=1)
