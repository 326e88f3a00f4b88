"""Settings of language modelling."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import EVALUATION_METHODS, HEADS, SOURCES, WORD_TOKENIZERS

UNITS = ("words", "chars")
LM_TIED_WEIGHTS = ("none", "output")


@dataclass
class StreamText(Settings):
    """Tokenisation and vocabulary."""

    unit: str = choice("unit of prediction: words or characters", UNITS, "words")
    tokenizer: str = choice("tokenizer of words", WORD_TOKENIZERS, "whitespace")
    min_freq: int = count("minimum number of occurrences of a word in the training text", 1)
    max_size: int | None = count("maximum vocabulary size, most frequent words first; null for no limit", None)


@dataclass
class StreamData(Settings):
    """Parallel streams of tokens, split into chunks."""

    batch_size: int = count("parallel training streams on each rank", 40)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    chunk_length: int = count("steps per chunk: the length of truncated backpropagation", 50)
    variable_chunks: bool = setting(
        "draw the length of each training chunk at random around chunk_length; its learning rate is proportional to it",
        False,
    )
    val_streams: int = count("parallel validation streams on all ranks together", 10)
    test_streams: int = count("parallel test streams on all ranks together; published results use one", 1)


@dataclass
class PublishedData(StreamData):
    """A published corpus."""

    source: str = choice("source of the text; auto tries local, download and sample in this order", SOURCES, "auto")
    sample_size: int = setting("generated reviews that source=sample concatenates", 4_000, least=20)


@dataclass
class OwnData(StreamData):
    """A user-supplied text."""

    path: str = setting("text file, plain or .gz, or folder of text files, read in alphabetical order")
    validation_path: str | None = setting("validation text; null splits off validation_fraction of path", None)
    test_path: str | None = setting("test text; null splits off test_fraction of path", None)
    validation_fraction: float = setting(
        "fraction of the text used for validation, before the test part", 0.05, above=0, below=1
    )
    test_fraction: float = setting("fraction of the text used for the test, at its end", 0.05, above=0, below=1)
    pattern: str = setting("glob pattern of the files in a folder; also finds them with .gz appended", "*.txt")


@dataclass
class Cache(Settings):
    """The neural cache of Grave, Joulin & Usunier (2017)."""

    window: int = count("number of words in the cache", 2000)
    sharpness: float = setting("theta: inverse temperature of the cache distribution", 0.3, least=0)
    weight: float = fraction("lambda: weight of the cache in the mixture with the model", 0.1)


@dataclass
class Dynamic(Settings):
    """Dynamic evaluation (Krause et al. 2018): the weights are updated on the text that was read."""

    learning_rate: float = setting("eta: learning rate of the updates", 1.2e-4, above=0, most=1_000)
    decay: float = setting("lambda: decay towards the trained weights, per update", 8.0e-3, least=0)
    epsilon: float = setting("epsilon: added to the root mean square of the gradients", 2.0e-5, above=0)
    chunk_length: int = count("words between two updates", 20)
    statistics_streams: int = count("parallel streams of the training text for the mean squared gradients", 100)
    statistics_chunks: int | None = count(
        "training chunks over which squared gradients are averaged; null for the whole training text", None
    )


@dataclass
class LanguageModelling(TaskSettings):
    """Autoregressive language modelling: predict each token from those before it."""

    monitor: str = setting("validation metric that selects the best checkpoint", "val/perplexity")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "min")
    max_epochs: int = count("default of trainer.max_epochs", 6)
    learning_rate: float = setting("default of optimizer.lr of Adam and AdamW", 3.0e-3, above=0)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=200, num_layers=2))
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=200, word_dropout=0.0))
    text: StreamText = field(default_factory=StreamText)
    data: StreamData = field(default_factory=StreamData)
    head: str = choice("output layer", HEADS, "full")
    cutoffs: list[int] = setting("adaptive softmax: first id of each cluster of rarer words", (2_000, 10_000), least=2)
    tie_weights: str = choice("output: the output layer uses the weights of the embedding", LM_TIED_WEIGHTS, "output")
    projection: bool = setting(
        "project the outputs linearly to the size of the embedding before the output layer", False
    )
    output_dropout: float = fraction("variational dropout probability of the outputs of the recurrent core")
    activation_regularisation: float = setting("alpha of AWD-LSTM: L2 penalty on the outputs", 0.0, least=0)
    temporal_regularisation: float = setting(
        "beta of AWD-LSTM: L2 penalty on the change of the outputs between steps", 0.0, least=0
    )
    eval_modes: list[str] = setting("evaluation modes of the test, one or more", ("plain",), choices=EVALUATION_METHODS)
    cache: Cache = field(default_factory=Cache)
    dynamic: Dynamic = field(default_factory=Dynamic)
    sample_prompt: str = setting("prompt of the text generated for TensorBoard after each validation", "the")
    sample_tokens: int = setting("number of tokens generated for TensorBoard; 0 for none", 60, least=0, most=100_000)


@dataclass
class WikiText2(LanguageModelling):
    """WikiText-2 (Merity et al. 2016)."""

    data: PublishedData = field(default_factory=PublishedData)


@dataclass
class PennTreebank(LanguageModelling):
    """The Penn Treebank as Mikolov prepared it."""

    data: PublishedData = field(default_factory=PublishedData)


@dataclass
class ImdbReviews(LanguageModelling):
    """The IMDB reviews, tokenised as in task=imdb."""

    text: StreamText = field(default_factory=lambda: StreamText(tokenizer="basic_english", min_freq=2, max_size=30_000))
    data: PublishedData = field(default_factory=PublishedData)


@dataclass
class OwnCorpus(LanguageModelling):
    """Language modelling on a user-supplied text."""

    data: OwnData = field(default_factory=OwnData)
