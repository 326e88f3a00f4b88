"""Settings of many-to-one classification."""

from dataclasses import dataclass, field
from typing import Any

from sluice.config.common import TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import PADDINGS, POOLINGS, SOURCES, TRUNCATIONS

TOKENIZERS = ("basic_english", "whitespace")


@dataclass
class Text(Settings):
    """From texts to ids."""

    tokenizer: str = choice("how a text is cut", TOKENIZERS, "basic_english")
    min_freq: int = count("occurrences in the training texts a word needs", 2)
    max_size: int | None = count("most frequent words kept; null for all", 30_000)


@dataclass
class TextData(Settings):
    """From ids to batches."""

    batch_size: int = count("texts in a training batch, per rank", 64)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    max_tokens: int | None = count("token budget of a training batch, padding counted; null for none", None)
    max_length: int = count("tokens kept of a text", 400)
    truncation: str = choice("which end of a long text is kept", TRUNCATIONS, "head_tail")
    validation_fraction: float = setting("share of each class held out of the training texts", 0.1, above=0, below=1)
    num_workers: int = setting("loader processes", 0, least=0)


@dataclass
class ImdbData(TextData):
    """The IMDB reviews."""

    source: str = choice("where the reviews come from; auto tries local, download, sample", SOURCES, "auto")
    sample_size: int = setting("training reviews that source=sample generates", 20_000, least=20)


@dataclass
class TableData(TextData):
    """One's own texts with labels: CSV, TSV or JSONL."""

    path: str = setting("file with the training texts")
    validation_path: str | None = setting(
        "validation texts; null cuts validation_fraction from the training file", None
    )
    test_path: str | None = setting("test texts; null cuts test_fraction from the training file", None)
    test_fraction: float = setting("share of each class cut from the training file for the test", 0.1, above=0, below=1)
    text_column: str = setting("column or key with the text", "text")
    label_column: str = setting("column or key with the class", "label")


@dataclass
class Classification(TaskSettings):
    """Many-to-one: a text in, a class out."""

    monitor: str = setting("metric that decides which checkpoint is best", "val/accuracy")
    mode: str = choice("which way that metric is better", ("max", "min"), "max")
    text: Text = field(default_factory=Text)
    data: TextData = field(default_factory=TextData)
    padding: str = choice("side of a text on which a batch has its padding; the answer is the same", PADDINGS, "right")
    pooling: str = choice("from one vector a step to one a text", POOLINGS, "max_mean")
    output_dropout: float = fraction("variational dropout on the outputs of the recurrent core", 0.5)
    segment_length: int | None = count("chop texts into segments of so many steps; null runs them whole", None)
    label_smoothing: float = fraction("share of the target spread over all classes")
    class_weights: Any = setting("null, balanced, or {class: weight, ...}", None)


@dataclass
class Imdb(Classification):
    """Sentiment of the IMDB reviews."""

    data: ImdbData = field(default_factory=ImdbData)


@dataclass
class Reviews(Classification):
    """One's own labelled texts."""

    data: TableData = field(default_factory=TableData)
