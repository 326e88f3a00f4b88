"""Settings of the synthetic tasks and of sequence labelling."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.config.tasks.classification import Classification, Text, TextData
from sluice.options import POOLINGS, TAG_SCHEMES

LEVELS = ("easy", "normal", "moderate", "hard", "nightmare")
LANGUAGES = ("anbn", "anbncn")


@dataclass
class SequenceBatches(Settings):
    """Batches of sequences."""

    batch_size: int = count("sequences per training batch on each rank", 64)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)


@dataclass
class Sizes(SequenceBatches):
    """Numbers of generated sequences."""

    size: int = count("generated training sequences", 20_000)
    val_size: int = count("generated validation sequences", 1_000)
    test_size: int = count("generated test sequences", 10_000)


@dataclass
class OrderData(TextData):
    """Sequences of symbols whose class is the order of two of them."""

    size: int = count("generated training sequences", 10_000)
    val_size: int = count("generated validation sequences", 1_000)
    test_size: int = count("generated test sequences", 10_000)
    easy_fraction: float = fraction("fraction of the training sequences drawn from easier levels")
    lengths: list[int] | None = setting(
        "lengths of the shortest and longest sequence; null for those of the level", None
    )
    t1: list[int] | None = setting("range of positions of the first relevant symbol; null for that of the level", None)
    t2: list[int] | None = setting("range of positions of the second relevant symbol; null for that of the level", None)


@dataclass
class AddingData(Sizes):
    """The adding problem."""

    steps: int = count("T: length of a sequence", 100)


@dataclass
class CopyData(Sizes):
    """The copy problem."""

    delay: int = count("T: steps between the last symbol and the first output", 100)
    length: int = count("number of symbols to copy", 10)
    symbols: int = setting("number of distinct symbols", 8, least=1, most=1_000_000)


@dataclass
class EchoData(Settings):
    """The echo problem: repeat a stream of bits after a delay."""

    delay: int = count("delay in steps", 3)
    length: int = count("length of a stream in steps", 2_000)
    chunk_length: int = count("steps per chunk: the length of truncated backpropagation", 20)
    streams: int = count("parallel training streams on all ranks together", 64)
    val_streams: int = count("parallel validation streams on all ranks together", 16)
    test_streams: int = count("parallel test streams on all ranks together", 64)


@dataclass
class CountingData(SequenceBatches):
    """Strings a^n b^n or a^n b^n c^n."""

    language: str = choice("anbn: a^n b^n; anbncn: a^n b^n c^n", LANGUAGES, "anbn")
    max_n: int | None = count("largest n of training and validation; null for 100 (anbn) or 50 (anbncn)", None)
    test_max_n: int = count("largest n of the test, which has every n above max_n", 1_000)
    size: int = count("generated training strings", 1_000)


@dataclass
class WavesData(SequenceBatches):
    """Sums of sine waves with noise."""

    steps: int = count("length of a sequence", 50)
    horizon: int = count("number of values to predict at every step", 10)
    waves: int = count("number of sine waves in a sum", 2)
    noise: float = setting("half-width of the uniform noise", 0.1, least=0)
    size: int = count("generated training sequences", 7_000)
    val_size: int = count("generated validation sequences", 2_000)
    test_size: int = count("generated test sequences", 1_000)


@dataclass
class TaggingData(SequenceBatches):
    """Sentences with a label for each word."""

    path: str | None = setting(
        "training sentences: CoNLL-2002, CoNLL-2003 or CoNLL-U, a word and its tag in each line, an empty line after "
        "each sentence; null generates sentences",
        None,
    )
    validation_path: str | None = setting("validation sentences; null splits off validation_fraction of path", None)
    test_path: str | None = setting("test sentences; null splits off test_fraction of path", None)
    word_column: str | None = setting(
        "column of the words: a number (1 is the first, -1 the last) or a name; null for the first, FORM in CoNLL-U",
        None,
    )
    tag_column: str | None = setting("column of the tags, as word_column; null for the last, UPOS in CoNLL-U", None)
    scheme: str = choice(
        "tag scheme of the spans scored by f1, precision and recall; auto: from the training tags; none: no spans",
        ("auto", "none", *TAG_SCHEMES),
        "auto",
    )
    validation_fraction: float = setting("fraction of the sentences of path used for validation", 0.1, above=0, below=1)
    test_fraction: float = setting("fraction of the sentences of path used for the test", 0.1, above=0, below=1)
    min_freq: int = count("minimum number of occurrences of a word in the training sentences", 1)
    max_size: int | None = count("maximum vocabulary size, most frequent words first; null for no limit", None)


@dataclass
class TemporalOrder(Classification):
    """Hochreiter & Schmidhuber (1997), experiment 6a: which of two symbols came first."""

    level: str = choice("length of the sequences and distance of the relevant symbols", LEVELS, "easy")
    text: Text = field(default_factory=lambda: Text(tokenizer="whitespace", min_freq=1))
    data: OrderData = field(default_factory=lambda: OrderData(batch_size=32, max_length=1_000))
    pooling: str = choice("pooling over the outputs of all steps", POOLINGS, "last")
    output_dropout: float = fraction("variational dropout probability of the outputs of the recurrent core")
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=16, word_dropout=0.0))


@dataclass
class SequenceTask(TaskSettings):
    """Settings of every synthetic or labelling task."""

    data: Settings = field(default_factory=SequenceBatches)

    monitor: str = setting("validation metric that selects the best checkpoint", "val/loss")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "min")
    learning_rate: float = setting("default of optimizer.lr of Adam and AdamW", 5.0e-3, above=0)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=64))
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=16, word_dropout=0.0))
    output_dropout: float = fraction("variational dropout probability of the outputs of the recurrent core")


@dataclass
class Adding(SequenceTask):
    """The adding problem: the sum of the two marked numbers of a sequence."""

    data: AddingData = field(default_factory=AddingData)


@dataclass
class Copy(SequenceTask):
    """The copy problem: repeat the symbols at the beginning of a sequence at its end."""

    data: CopyData = field(default_factory=CopyData)


@dataclass
class Echo(SequenceTask):
    """The echo problem: repeat a stream of bits after a delay, with truncated backpropagation."""

    data: EchoData = field(default_factory=EchoData)


@dataclass
class Counting(SequenceTask):
    """The next symbol of a^n b^n or a^n b^n c^n."""

    data: CountingData = field(default_factory=CountingData)


@dataclass
class Waves(SequenceTask):
    """Predict the next values of a noisy sum of sine waves at every step."""

    data: WavesData = field(default_factory=WavesData)


@dataclass
class Tagging(SequenceTask):
    """Sequence labelling: a tag for each word."""

    data: TaggingData = field(default_factory=TaggingData)
