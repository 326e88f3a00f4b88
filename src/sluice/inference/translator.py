"""Translation of sentences with a trained network."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sluice.decoding.search import DecodingSettings, generator_of
from sluice.decoding.steps import Hypothesis
from sluice.decoding.unk_replacement import replace_unknowns
from sluice.errors import UserError
from sluice.inference.base import InferenceModel
from sluice.inference.hidden_states import record_hidden_states
from sluice.inference.inputs import batches_by_length, list_of_texts
from sluice.inference.predictor import BATCH_SIZE
from sluice.inference.trace import Trace, TracedStates, array_of, require_tokens
from sluice.layers.pooling import step_mask
from sluice.models.seq2seq import Seq2Seq
from sluice.recurrent.states import top_hidden
from sluice.text.coder import EOS, SentenceCoder
from sluice.text.vocab import PADDING_ID, UNKNOWN, UNKNOWN_ID

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sluice.data.translation import TranslationData


BEAM = 5
"""Default beam size."""
MAX_SEED = 2**63


class Translation(NamedTuple):
    """One translation of a sentence."""

    text: str
    """The detokenized translation."""
    words: list[str]
    """The target tokens without `<eos>`; `<unk>` is replaced if the translator replaces unknown words."""
    source_words: list[str]
    """The source tokens without `<eos>`, after truncation."""
    attention: NDArray[np.float32] | None
    """(words + 1, source words + 1), attention weights of each target token, `<eos>` included; None without
    attention."""
    score: float
    """The score of the search: log-probability divided by the length penalty."""
    alternatives: "tuple[Translation, ...]" = ()
    """The next best translations of the sentence, the best first; see `Translator.translate`."""


class Translator(InferenceModel):
    """Translates sentences with a trained network and the vocabularies of its source and target language.

    Example:
        >>> from sluice.inference.examples import translator
        >>> model = translator()  # untrained; a trained one: sluice.load("outputs/multi30k/lstm/mine")
        >>> [translation] = model.translate(["ein Hund"])
        >>> translation.source_words
        ['ein', 'Hund']
    """

    description: ClassVar[str] = "translates"
    network: Seq2Seq

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
            decoding: settings of the search other than beam, number of translations and seed; None for the defaults.
        """
        self.max_length, self.preprocess = max_length, preprocess or (lambda text: text)
        self.decoding = decoding or DecodingSettings()
        self.network, self.source, self.target = network, source, target
        self.replace_unknown = replace_unknown

    @classmethod
    def for_data(cls, network: Seq2Seq, data: "TranslationData") -> "Translator":
        """Returns the translator of a network for the languages of a DataModule.

        Args:
            network: the network.
            data: the DataModule, for vocabularies and tokenizers.

        Example:
            >>> from sluice.data import ParallelSettings, SentencePairs, TranslationData
            >>> from sluice.inference.examples import translator
            >>> settings = ParallelSettings(tokenizer="words", min_freq=1)
            >>> data = TranslationData(corpus=SentencePairs([("ein Hund", "a dog")] * 9), settings=settings)
            >>> Translator.for_data(translator().network, data).target.vocab.tokens[-2:]
            ['a', 'dog']
        """
        prepared, length = data.prepared, data.settings.max_length
        return cls(network=network, source=prepared.source, target=prepared.target, max_length=length)

    def translate(
        self,
        sentences: Iterable[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        seed: int | torch.Generator | None = None,
        attention: bool = True,
        batch_size: int = BATCH_SIZE,
    ) -> list[Translation]:
        """Translates sentences.

        Args:
            sentences: any number of sentences, sorted by length into batches; blank ones have empty translations.
                Sentences longer than in training are truncated.
            beam: beam size, at least `n_best`; 1 is greedy search. None for 5, or for 1 with a seed.
            n_best: number of translations of each sentence; all but the best are its `alternatives`.
            seed: samples each word with this random seed instead of searching, with a beam of 1. A
                `torch.Generator` on the CPU continues its random numbers from call to call.
            attention: whether to return the attention weights.
            batch_size: number of sentences decoded together.

        Raises:
            TypeError: for a single string instead of a list.
            UserError: for a sentence that a model of numbers or labels does not know.
            ValueError: for a value out of range, or a seed together with a beam.

        Example:
            >>> from sluice.inference.examples import translator
            >>> first, blank = translator().translate(["ein Hund schläft", ""], beam=3, n_best=2)
            >>> len(first.alternatives), first.attention.shape == (len(first.words) + 1, 4), blank.text
            (1, True, '')
        """
        settings = self._settings(beam, n_best, seed)
        texts = [self.preprocess(text) if text.strip() else "" for text in list_of_texts(sentences, "sentences")]
        found = self.decode(texts, settings, max_length=self.max_length, batch_size=batch_size)
        kept = [each if attention else [one._replace(attention=None) for one in each] for each in found]
        return [best._replace(alternatives=tuple(others)) for best, *others in kept]

    def decode(
        self,
        texts: Sequence[str],
        settings: DecodingSettings,
        *,
        max_length: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> list[list[Translation]]:
        """Translates source sentences with all settings of the search.

        Args:
            texts: the sentences. Those without tokens, such as blank ones, have empty translations.
            settings: settings of the search; their seed is that of all sentences together.
            max_length: maximum number of source tokens; None for all.
            batch_size: number of sentences decoded together.

        Returns:
            `settings.n_best` translations of each sentence, the best first.

        Raises:
            ValueError: if `settings` are inconsistent.

        Example:
            >>> from sluice.inference.examples import translator
            >>> [[best, second]] = translator().decode(["ein Hund"], DecodingSettings(beam=2, n_best=2))
            >>> best.score >= second.score
            True
        """
        settings.check()
        settings = replace(settings, seed=generator_of(settings.seed))  # one generator for all batches
        ids = [torch.tensor(self.source.source_ids(text, max_length)) for text in texts]
        found: list[list[Translation]] = [[] for _ in texts]
        for batch in batches_by_length([len(row) for row in ids], batch_size):
            padded = pad_sequence([ids[index] for index in batch], batch_first=True, padding_value=PADDING_ID)
            lengths = torch.tensor([len(ids[index]) for index in batch])
            translated = self.translate_ids(
                padded.to(self.device), lengths, [texts[index] for index in batch], settings
            )
            for index, translations in zip(batch, translated, strict=True):
                found[index] = translations
        return found

    @torch.inference_mode()
    def trace(self, text: str, *, layer: int | None = None, backward: bool = False) -> Trace:
        """Records states and gates of the encoder at each token of a source sentence, after truncation.

        Args:
            text: the sentence.
            layer: layer number, 1 is the lowest; None for the top layer.
            backward: record the backward direction of a bidirectional encoder.

        Raises:
            UserError: if the sentence has no tokens, or the layer or direction does not exist.

        Example:
            >>> from sluice.inference.examples import translator
            >>> trace = translator().trace("ein Hund")
            >>> trace.tokens, trace.states["hidden"].shape
            (['ein', 'Hund', '<eos>'], (3, 8))
        """
        words = require_tokens(self.source.unit.raw(text))
        ids = self.source.source_ids(text, self.max_length)
        features = self.network.source_embedding(torch.tensor([ids], device=self.device))
        hidden = record_hidden_states(self.network.encoder, features, layer=layer, backward=backward)
        known = [index != UNKNOWN_ID for index in ids]
        return Trace(
            [*words[: len(ids) - 1], EOS], known, *TracedStates.of(hidden), length=len(words), kept=len(ids) - 1
        )

    def _settings(self, beam: int | None, n_best: int, seed: int | torch.Generator | None) -> DecodingSettings:
        if beam is None:
            beam = max(BEAM, n_best) if seed is None else 1
        if not (seed is None or isinstance(seed, torch.Generator) or 0 <= seed < MAX_SEED):
            raise ValueError(f"the seed must be at least 0 and below 2^63, got {seed}")
        settings = replace(self.decoding, beam=beam, n_best=n_best, seed=seed)
        settings.check()
        vocab_size = len(self.target.vocab)
        if beam > vocab_size:
            raise ValueError(f"the beam must be at most {vocab_size}, the size of the vocabulary, got {beam}")
        return settings

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
            As `decode`.

        Example:
            >>> from sluice.inference.examples import translator
            >>> from sluice.text.coder import EOS_ID
            >>> source, lengths = torch.tensor([[4, 5, EOS_ID]]), torch.tensor([3])
            >>> [[translation]] = translator().translate_ids(source, lengths, ["ein Hund"], DecodingSettings())
            >>> translation.source_words
            ['ein', 'Hund']
        """
        found = self.network.translate(source, lengths, settings)
        words = [self.source.unit.raw(text)[: length - 1] for text, length in zip(texts, lengths.tolist(), strict=True)]
        empty = Translation("", [], [], None, 0.0)
        return [
            [self._translation(hypothesis, source_words) if length > 1 else empty for hypothesis in hypotheses]
            for hypotheses, source_words, length in zip(found, words, lengths.tolist(), strict=True)
        ]

    def encode(self, texts: Iterable[str], *, mean: bool = False, batch_size: int = BATCH_SIZE) -> NDArray[np.float32]:
        """Encodes source sentences or phrases as vectors.

        Args:
            texts: N texts with at least one token each, sorted by length into batches.
            mean: return the mean of the encoder's outputs over the words (without `<eos>`) instead of the final hidden
                state of its top layer (both directions concatenated).
            batch_size: number of texts encoded together.

        Returns:
            (N, directions · H).

        Raises:
            TypeError: for a single string instead of a list.
            UserError: for a text without tokens.

        Example:
            >>> from sluice.inference.examples import translator
            >>> translator().encode(["ein Hund", "Hund"]).shape
            (2, 8)
        """
        ids = [torch.tensor(self.source.source_ids(text)) for text in list_of_texts(texts)]
        if any(len(row) == 1 for row in ids):
            raise UserError("a text has no tokens: give texts of at least one word")
        found = np.zeros((len(ids), self.network.encoder.output_size), dtype=np.float32)
        for batch in batches_by_length([len(row) for row in ids], batch_size):
            lengths = torch.tensor([len(ids[index]) for index in batch])
            padded = pad_sequence([ids[index] for index in batch], batch_first=True, padding_value=PADDING_ID)
            with torch.inference_mode():
                outputs, state = self.network.run_encoder(padded.to(self.device), lengths)
                if mean:
                    mask = step_mask(lengths - 1, outputs.shape[1], outputs.device).unsqueeze(-1)
                    vectors = (outputs * mask).sum(1) / (lengths - 1).unsqueeze(1).to(outputs.device)
                else:
                    vectors = top_hidden(state, self.network.encoder.directions)
            found[batch] = array_of(vectors)
        return found

    def _words(self) -> list[str]:
        return self.source.vocab.tokens

    def _translation(self, hypothesis: Hypothesis, source_words: list[str]) -> Translation:
        words = self.target.tokens(hypothesis.words)
        weights = hypothesis.weights
        if self.replace_unknown:
            words = replace_unknowns(words, weights, source_words, UNKNOWN)
        attention = None if weights is None else array_of(weights[:, : len(source_words) + 1])
        return Translation(self.target.text(words), words, source_words, attention, hypothesis.score)


def attention_labels(translation: Translation) -> tuple[list[str], list[str]]:
    """Column and row labels of a translation's attention weights: source and target tokens, each with `<eos>`."""
    return [*translation.source_words, EOS], [*translation.words, EOS]


def attention_map(translation: Translation) -> "Figure":
    """Draws the attention weights of a translation: a row per target token, a column per source token.

    Raises:
        ValueError: if the translation has no attention weights.

    Example:
        >>> from sluice.inference.examples import translator
        >>> [translation] = translator().translate(["ein Hund"])
        >>> attention_map(translation).savefig("attention.png")
    """
    if translation.attention is None:
        raise ValueError(
            "a model without attention has no attention weights to draw: train with another task.attention than none"
        )
    from sluice.plots.attention import draw_attention  # matplotlib is slow to import

    columns, rows = attention_labels(translation)
    return draw_attention(translation.attention, row_labels=rows, column_labels=columns, vmax=1)
