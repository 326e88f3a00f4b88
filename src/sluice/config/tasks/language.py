"""Settings of word-level language modelling."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import EVALUATION_METHODS, HEADS, SOURCES, WORD_TOKENIZERS

UNITS = ("words", "chars")
LM_TIED_WEIGHTS = ("none", "output")


@dataclass
class StreamText(Settings):
    """From a text to ids."""

    unit: str = choice("what is predicted: words, or letters one by one", UNITS, "words")
    tokenizer: str = choice("how a line is cut into words", WORD_TOKENIZERS, "whitespace")
    min_freq: int = count("occurrences in the training text a word needs", 1)
    max_size: int | None = count("most frequent words kept; null for all", None)


@dataclass
class StreamData(Settings):
    """From ids to chunks of streams that run side by side."""

    batch_size: int = count("streams side by side in training, per rank", 40)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    chunk_length: int = count("steps of a chunk: as far as gradients go back", 50)
    variable_chunks: bool = setting("chunks of random lengths around chunk_length, others in every epoch (AWD)", False)
    val_streams: int = count("streams in validation, whatever the number of ranks", 10)
    test_streams: int = count("streams in the test; published figures have one", 1)


@dataclass
class PublishedData(StreamData):
    """A corpus that others have published."""

    source: str = choice("where the text comes from; auto tries local, download, sample", SOURCES, "auto")
    sample_size: int = setting("generated reviews that source=sample strings together", 4_000, least=20)


@dataclass
class OwnData(StreamData):
    """One's own text."""

    path: str = setting("text file, or folder with text files, read in the order of their names")
    validation_path: str | None = setting("validation text; null cuts validation_fraction from path", None)
    test_path: str | None = setting("test text; null cuts test_fraction from path", None)
    validation_fraction: float = setting("share of the text, before the test's", 0.05, above=0, below=1)
    test_fraction: float = setting("share of the text, at its end", 0.05, above=0, below=1)
    pattern: str = setting("which files of a folder", "*.txt")


@dataclass
class Cache(Settings):
    """The neural cache of Grave, Joulin & Usunier (2017)."""

    window: int = count("words remembered", 2000)
    sharpness: float = setting("theta: how much likeness to the present counts", 0.3, least=0)
    weight: float = fraction("lambda: weight of the cache beside the model", 0.1)


@dataclass
class Dynamic(Settings):
    """Dynamic evaluation of Krause et al. (2018): the weights follow the text that was read."""

    learning_rate: float = setting("of each step", 2.0e-5, above=0)
    decay: float = setting("pull back to the trained weights, a share a step", 2.0e-3, least=0)
    chunk_length: int = count("words read between two steps", 20)
    statistics_chunks: int = count("training chunks from which the gradients' sizes are taken", 300)


@dataclass
class LanguageModelling(TaskSettings):
    """The next word from all words before it."""

    monitor: str = setting("metric that decides which checkpoint is best", "val/perplexity")
    mode: str = choice("which way that metric is better", ("max", "min"), "min")
    max_epochs: int = count("epochs", 6)
    learning_rate: float = setting("default of optimizer.lr for Adam and AdamW", 3.0e-3, above=0)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=200, num_layers=2))
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=200, word_dropout=0.0))
    text: StreamText = field(default_factory=StreamText)
    data: StreamData = field(default_factory=StreamData)
    head: str = choice("the output layer", HEADS, "full")
    cutoffs: list[int] = setting("adaptive: ids where the rarer groups of words begin", (2_000, 10_000))
    tie_weights: str = choice("output: the output layer uses the weights of the embedding", LM_TIED_WEIGHTS, "output")
    projection: bool = setting("a linear map from the outputs to the embedding's size before the output layer", False)
    output_dropout: float = fraction("variational dropout on the outputs of the recurrent core")
    activation_regularisation: float = setting("alpha of AWD, on the size of the outputs", 0.0, least=0)
    temporal_regularisation: float = setting("beta of AWD, on the change of the outputs", 0.0, least=0)
    eval_modes: list[str] = setting("how the test is run, one or more", ("plain",), choices=EVALUATION_METHODS)
    cache: Cache = field(default_factory=Cache)
    dynamic: Dynamic = field(default_factory=Dynamic)
    sample_prompt: str = setting("how the text begins that TensorBoard shows after each validation", "the")
    sample_tokens: int = setting("its length; 0 for none", 60, least=0)


@dataclass
class WikiText2(LanguageModelling):
    """WikiText-2 (Merity et al. 2016)."""

    data: PublishedData = field(default_factory=PublishedData)


@dataclass
class PennTreebank(LanguageModelling):
    """The Penn Treebank as Mikolov prepared it."""

    data: PublishedData = field(default_factory=PublishedData)


@dataclass
class OwnCorpus(LanguageModelling):
    """One's own text."""

    data: OwnData = field(default_factory=OwnData)
