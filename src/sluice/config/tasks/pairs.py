"""Settings of classifying pairs of texts."""

from dataclasses import dataclass, field
from typing import Any

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import TRUNCATIONS, WORD_TOKENIZERS


@dataclass
class LetterText(Settings):
    """From texts to words, and from words to their letters."""

    tokenizer: str = choice("how a text is cut", WORD_TOKENIZERS, "words")
    max_ngram: int = count("letters in the longest piece that a word's vector is made of, beside all of it", 3)
    buckets: int = count("vectors that all pieces share", 20_000)


@dataclass
class PairsData(Settings):
    """Pairs of texts: generated product titles, or one's own."""

    path: str | None = setting("training pairs, CSV, TSV or JSONL; null generates product titles", None)
    validation_path: str | None = setting("validation pairs; null cuts validation_fraction from path", None)
    test_path: str | None = setting("test pairs; null cuts test_fraction from path", None)
    validation_fraction: float = setting("share of each class cut from path", 0.1, above=0, below=1)
    test_fraction: float = setting("share of each class cut from path", 0.1, above=0, below=1)
    first_column: str = setting("column or key with one text", "first")
    second_column: str = setting("column or key with the other", "second")
    label_column: str = setting("column or key with the class", "label")
    size: int = count("training pairs that are generated", 8_000)
    val_size: int = count("validation pairs that are generated", 1_000)
    test_size: int = count("test pairs that are generated", 2_000)
    batch_size: int = count("pairs in a training batch, per rank", 64)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    max_length: int = count("words kept of a text", 100)
    truncation: str = choice("which end of a long text is kept", TRUNCATIONS, "head_tail")
    num_workers: int = setting("loader processes", 0, least=0)


@dataclass
class Pairs(TaskSettings):
    """Two texts in, a class out."""

    monitor: str = setting("metric that decides which checkpoint is best", "val/loss")
    mode: str = choice("which way that metric is better", ("max", "min"), "min")
    text: LetterText = field(default_factory=LetterText)
    data: PairsData = field(default_factory=PairsData)
    comparison_size: int = count("units of the attention and of each word's comparison", 128)
    output_dropout: float = fraction("variational dropout on the outputs of the recurrent core", 0.3)
    label_smoothing: float = fraction("share of the target spread over all classes")
    class_weights: Any = setting("null, balanced, or {class: weight, ...}", None)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=64))
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=64, word_dropout=0.0, initial_std=0.3)
    )
