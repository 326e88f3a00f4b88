"""Settings of word vectors by skip-gram or CBOW."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, setting
from sluice.options import SOURCES, WORD2VEC_METHODS, WORD_TOKENIZERS

CORPORA = ("wikitext2", "ptb", "imdb", "sample")


@dataclass
class WindowText(Settings):
    """From a text to ids."""

    tokenizer: str | None = choice("how a line is cut into words; null for what suits the text", WORD_TOKENIZERS, None)
    min_freq: int = count("occurrences in the training text a word needs", 5)
    max_size: int | None = count("most frequent words kept; null for all", None)


@dataclass
class WindowData(Settings):
    """From ids to words and their neighbours."""

    corpus: str | None = choice("the text; null for path, or wikitext2 where that is null too", CORPORA, None)
    path: str | None = setting("text file, or folder with text files, read in the order of their names", None)
    validation_path: str | None = setting("validation text; null cuts validation_fraction from path", None)
    test_path: str | None = setting("test text; null cuts test_fraction from path", None)
    validation_fraction: float = setting("share of the text, before the test's", 0.05, above=0, below=1)
    test_fraction: float = setting("share of the text, at its end", 0.05, above=0, below=1)
    pattern: str = setting("which files of a folder", "*.txt")
    source: str = choice("where a corpus comes from; auto tries local, download, sample", SOURCES, "auto")
    sample_size: int = setting("generated reviews that the sample strings together", 4_000, least=20)
    across_lines: bool = setting("windows reach over the ends of lines: for texts wrapped at a width", False)
    batch_size: int = count("blocks of 64 words in a batch", 64)


@dataclass
class Word2Vec(TaskSettings):
    """Mikolov et al. (2013): vectors with which a word tells which words stand near it."""

    monitor: str = setting("metric that decides which checkpoint is best", "val/loss")
    mode: str = choice("which way that metric is better", ("max", "min"), "min")
    max_epochs: int = count("epochs", 10)
    learning_rate: float = setting("of the first step; it goes down to nothing along a line", 0.1, above=0)
    gradient_clip: float | None = setting(
        "default of trainer.gradient_clip_val; none, since single rows are updated", None, above=0
    )
    gpu_precision: str = setting("default of trainer.precision with trainer=gpu; nothing else is supported", "32-true")
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=100, word_dropout=0.0))
    method: str = choice(
        "a word tells each word near it, or these together tell the word", WORD2VEC_METHODS, "skipgram"
    )
    window: int = count("most words to either side; each word's own width is drawn from 1 to this", 5)
    negatives: int = count("words drawn against each pair", 5)
    subsampling: float = setting(
        "words more frequent than this share are left out now and then; 0: none", 1e-3, least=0
    )
    text: WindowText = field(default_factory=WindowText)
    data: WindowData = field(default_factory=WindowData)
