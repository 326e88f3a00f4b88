"""Settings of many-to-one classification."""

from dataclasses import dataclass, field
from typing import Any

from sluice.config.common import MAX_SUBWORDS, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import PADDINGS, POOLINGS, SOURCES, SUBWORDS, TRUNCATIONS, UNITS, WORD_TOKENIZERS

MAX_NGRAM = 8
"""Words of the longest n-grams of the linear classifier."""


@dataclass
class Text(Settings):
    """Tokenisation and vocabulary."""

    unit: str = choice("unit of a token", UNITS, "words")
    tokenizer: str = choice("tokenizer of words", WORD_TOKENIZERS, "basic_english")
    lowercase: bool = setting("convert all text to lower case; basic_english always does", False)
    normalize: bool = setting("normalise texts to Unicode NFC, and replace HTML line breaks (<br>) by spaces", True)
    min_freq: int = count("minimum number of occurrences of a token in the training texts", 2)
    max_size: int | None = count("maximum vocabulary size, most frequent tokens first; null for no limit", 30_000)
    subwords: str = choice("subword algorithm (sentencepiece)", SUBWORDS, "bpe")
    subword_size: int = setting("maximum size of the subword vocabulary", 8_000, least=1, most=MAX_SUBWORDS)


@dataclass
class TextData(Settings):
    """Batches of texts."""

    batch_size: int = count("texts per training batch on each rank", 64)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    max_tokens: int | None = count(
        "maximum number of tokens of a training batch, padding included; null for no limit", None
    )
    max_length: int = count("maximum number of tokens of a text; longer ones are truncated", 400)
    truncation: str = choice(
        "part of a long text that is kept: its beginning, its end, or both", TRUNCATIONS, "head_tail"
    )
    validation_fraction: float = setting(
        "fraction of each class of the training texts used for validation", 0.1, above=0, below=1
    )
    num_workers: int = setting("worker processes of the DataLoader", 0, least=0)


@dataclass
class ImdbData(TextData):
    """The IMDB reviews."""

    source: str = choice("source of the reviews; auto tries local, download and sample in this order", SOURCES, "auto")
    sample_size: int = setting("generated training reviews with source=sample", 20_000, least=20)


@dataclass
class Folds(Settings):
    """Cross-validation on the training file."""

    folds: int | None = setting("number of folds for cross-validation; each text is in the test of one", None, least=2)
    fold: int | None = setting("fold that is the test split, from 0 on", None, least=0)


@dataclass
class TableData(Folds, TextData):
    """Labelled texts in a table."""

    path: str = setting(
        "table of training texts: .csv, .tsv, .jsonl (each also .gz), .parquet, or a saved Hugging Face dataset"
    )
    validation_path: str | None = setting(
        "file of validation texts; null splits off validation_fraction of the training file", None
    )
    test_path: str | None = setting("file of test texts; null splits off test_fraction of the training file", None)
    test_fraction: float = setting(
        "fraction of each class of the training file used for the test", 0.1, above=0, below=1
    )
    text_column: str = setting("column or key of the text", "text")
    label_column: str = setting("column or key of the class", "label")


@dataclass
class Ngrams(Settings):
    """Linear classifier of the n-grams of a text (NBSVM), whose scores are added to those of the recurrent network."""

    max_n: int | None = setting(
        "number of words in the longest n-grams of the linear classifier; null for no linear classifier",
        None,
        least=1,
        most=MAX_NGRAM,
    )
    buckets: int = setting("rows for the hashed n-grams of two and more words", 2**20, least=1, most=2**28)


@dataclass
class Classification(TaskSettings):
    """Many-to-one classification of texts."""

    monitor: str = setting("validation metric that selects the best checkpoint", "val/accuracy")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "max")
    text: Text = field(default_factory=Text)
    data: TextData = field(default_factory=TextData)
    padding: str = choice("side on which batches are padded; does not affect the results", PADDINGS, "right")
    pooling: str = choice("pooling over the outputs of all steps", POOLINGS, "max_mean")
    output_dropout: float = fraction("variational dropout probability of the outputs of the recurrent core", 0.5)
    segment_length: int | None = count(
        "split texts into segments of this many steps that run in parallel; null for no segments", None
    )
    ngrams: Ngrams = field(default_factory=Ngrams)
    label_smoothing: float = fraction("label smoothing: probability spread evenly over all classes")
    class_weights: Any = setting("class weights of the training loss: null, balanced, or {class: weight, ...}", None)


@dataclass
class Imdb(Classification):
    """Sentiment of the IMDB reviews."""

    data: ImdbData = field(default_factory=ImdbData)


@dataclass
class Reviews(Classification):
    """Classification of user-supplied labelled texts."""

    data: TableData = field(default_factory=TableData)
