"""Settings of word vectors by skip-gram or CBOW."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, setting
from sluice.options import SOURCES, WORD2VEC_METHODS, WORD_TOKENIZERS

CORPORA = ("wikitext2", "ptb", "imdb", "sample")


@dataclass
class WindowText(Settings):
    """Tokenisation and vocabulary."""

    tokenizer: str | None = choice("tokenizer of words; null for the default of the corpus", WORD_TOKENIZERS, None)
    min_freq: int = count("minimum number of occurrences of a word in the training text", 5)
    max_size: int | None = count("maximum vocabulary size, most frequent words first; null for no limit", None)


@dataclass
class WindowData(Settings):
    """The text, and batches of words with their contexts."""

    corpus: str | None = choice("named corpus; null for path, or for wikitext2 if path is null too", CORPORA, None)
    path: str | None = setting("text file, plain or .gz, or folder of text files, read in alphabetical order", None)
    validation_path: str | None = setting("validation text; null splits off validation_fraction of path", None)
    test_path: str | None = setting("test text; null splits off test_fraction of path", None)
    validation_fraction: float = setting(
        "fraction of the text used for validation, before the test part", 0.05, above=0, below=1
    )
    test_fraction: float = setting("fraction of the text used for the test, at its end", 0.05, above=0, below=1)
    pattern: str = setting("glob pattern of the files in a folder; also finds them with .gz appended", "*.txt")
    source: str = choice("source of the corpus; auto tries local, download and sample in this order", SOURCES, "auto")
    sample_size: int = setting("generated reviews that source=sample concatenates", 4_000, least=20)
    across_lines: bool = setting("let context windows cross line ends, for texts with wrapped lines", False)
    batch_size: int = count("blocks of 64 words per training batch", 64)


@dataclass
class Word2Vec(TaskSettings):
    """Word vectors by skip-gram or CBOW with negative sampling (Mikolov et al. 2013)."""

    monitor: str = setting("validation metric that selects the best checkpoint", "val/loss")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "min")
    max_epochs: int = count("default of trainer.max_epochs", 10)
    learning_rate: float = setting("initial learning rate; it decreases linearly to 0", 0.1, above=0)
    gradient_clip: float | None = setting(
        "default of trainer.gradient_clip_val; none, since single rows are updated", None, above=0
    )
    gpu_precision: str = choice("default of trainer.precision with trainer=gpu", ("32-true",), "32-true")
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=100, word_dropout=0.0))
    method: str = choice(
        "skipgram predicts the context from the word, cbow the word from its context", WORD2VEC_METHODS, "skipgram"
    )
    window: int = setting(
        "maximum number of context words on each side; the number for each word is drawn from 1 to this",
        5,
        least=1,
        most=1_000,
    )
    negatives: int = setting("negative samples per pair", 5, least=1, most=1000)
    subsampling: float = setting(
        "frequency above which occurrences of a word are dropped at random; 0 for none", 1e-3, least=0
    )
    text: WindowText = field(default_factory=WindowText)
    data: WindowData = field(default_factory=WindowData)
