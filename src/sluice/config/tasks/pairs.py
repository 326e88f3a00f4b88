"""Settings of classifying pairs of texts."""

from dataclasses import dataclass, field
from typing import Any

from sluice.config.common import MAX_SUBWORDS, EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.config.tasks.classification import Folds
from sluice.options import SUBWORDS, TRUNCATIONS, UNITS, WORD_TOKENIZERS


@dataclass
class CharNgramText(Settings):
    """Tokenisation, and the character n-grams of words."""

    unit: str = choice("unit of a token", UNITS, "words")
    tokenizer: str = choice("tokenizer of words", WORD_TOKENIZERS, "words")
    lowercase: bool = setting("convert all text to lower case; basic_english always does", False)
    normalize: bool = setting("normalise texts to Unicode NFC, and replace HTML line breaks (<br>) by spaces", True)
    subwords: str = choice("subword algorithm (sentencepiece)", SUBWORDS, "bpe")
    subword_size: int = setting("maximum size of the subword vocabulary", 8_000, least=1, most=MAX_SUBWORDS)
    max_ngram: int = setting(
        "length of the longest character n-gram that contributes to the vector of a word", 3, least=1, most=1_000
    )
    buckets: int = setting("number of hash buckets of the n-grams", 20_000, least=1, most=2**31 - 1)


@dataclass
class PairsData(Folds):
    """Pairs of texts: generated product titles, or a user-supplied file."""

    path: str | None = setting("table of training pairs, as for task=reviews; null generates product titles", None)
    validation_path: str | None = setting("file of validation pairs; null splits off validation_fraction of path", None)
    test_path: str | None = setting("file of test pairs; null splits off test_fraction of path", None)
    validation_fraction: float = setting("fraction of each class of path used for validation", 0.1, above=0, below=1)
    test_fraction: float = setting("fraction of each class of path used for the test", 0.1, above=0, below=1)
    first_column: str = setting("column or key of the first text", "first")
    second_column: str = setting("column or key of the second text", "second")
    label_column: str = setting("column or key of the class", "label")
    size: int = count("generated training pairs", 8_000)
    val_size: int = count("generated validation pairs", 1_000)
    test_size: int = count("generated test pairs", 2_000)
    batch_size: int = count("pairs per training batch on each rank", 64)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    max_length: int = count("maximum number of words of a text; longer ones are truncated", 100)
    truncation: str = choice(
        "part of a long text that is kept: its beginning, its end, or both", TRUNCATIONS, "head_tail"
    )
    num_workers: int = setting("worker processes of the DataLoader", 0, least=0)


@dataclass
class Pairs(TaskSettings):
    """Classification of pairs of texts."""

    monitor: str = setting("validation metric that selects the best checkpoint", "val/loss")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "min")
    text: CharNgramText = field(default_factory=CharNgramText)
    data: PairsData = field(default_factory=PairsData)
    comparison_size: int = count("hidden units of the attention and comparison networks", 128)
    output_dropout: float = fraction("variational dropout probability of the outputs of the recurrent core", 0.3)
    label_smoothing: float = fraction("label smoothing: probability spread evenly over all classes")
    class_weights: Any = setting("class weights of the training loss: null, balanced, or {class: weight, ...}", None)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=64))
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=64, word_dropout=0.0, initial_std=0.3)
    )
