"""Settings of the lectures' small tasks: an answer for each step, or a number for a whole sequence."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.config.tasks.classification import Classification, Text, TextData
from sluice.options import POOLINGS

LEVELS = ("easy", "normal", "moderate", "hard", "nightmare")
LANGUAGES = ("anbn", "anbncn")


@dataclass
class SequenceBatches(Settings):
    """From sequences to batches."""

    batch_size: int = count("sequences in a training batch, per rank", 64)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)


@dataclass
class Sizes(SequenceBatches):
    """How many sequences are generated."""

    size: int = count("training sequences", 20_000)
    val_size: int = count("validation sequences", 1_000)
    test_size: int = count("test sequences", 10_000)


@dataclass
class OrderData(TextData):
    """Symbols in which the order of two decides."""

    size: int = count("training sequences", 10_000)
    val_size: int = count("validation sequences", 1_000)
    test_size: int = count("test sequences", 10_000)
    easy_fraction: float = fraction("share of the training sequences that are of easier levels")
    lengths: list[int] | None = setting("shortest and longest sequence; null for the level's", None)
    t1: list[int] | None = setting("first and last place of the first telling symbol; null for the level's", None)
    t2: list[int] | None = setting("first and last place of the second; null for the level's", None)


@dataclass
class AddingData(Sizes):
    """Two numbers of many are to be added."""

    steps: int = count("T, numbers of a sequence", 100)


@dataclass
class CopyData(Sizes):
    """Symbols are to be written down after a wait."""

    delay: int = count("T, steps between the last symbol and the first answer", 100)
    length: int = count("symbols", 10)
    symbols: int = count("different symbols", 8)


@dataclass
class EchoData(Settings):
    """A stream of bits is to be repeated after a delay."""

    delay: int = count("steps", 3)
    length: int = count("steps of a stream", 2_000)
    chunk_length: int = count("steps of a batch: as far as gradients go back", 20)
    streams: int = count("training streams, of all ranks together", 64)
    val_streams: int = count("validation streams", 16)
    test_streams: int = count("test streams", 64)


@dataclass
class CountingData(SequenceBatches):
    """Strings of equally many a, b (and c)."""

    language: str = choice("a^n b^n, or a^n b^n c^n", LANGUAGES, "anbn")
    max_n: int | None = count("n of training; null for 100, of anbncn 50", None)
    test_max_n: int = count("n of the test, every one above that of training", 1_000)
    size: int = count("training strings", 1_000)


@dataclass
class WavesData(SequenceBatches):
    """Sums of sine waves with noise."""

    steps: int = count("values of a sequence", 50)
    horizon: int = count("values to predict at every step", 10)
    waves: int = count("sine waves that are summed up", 2)
    noise: float = setting("its range, of either side", 0.1, least=0)
    size: int = count("training sequences", 7_000)
    val_size: int = count("validation sequences", 2_000)
    test_size: int = count("test sequences", 1_000)


@dataclass
class TaggingData(SequenceBatches):
    """Sentences with a label for each word."""

    path: str | None = setting("two columns a line, an empty line between sentences; null generates some", None)
    validation_path: str | None = setting("validation sentences; null cuts validation_fraction from path", None)
    test_path: str | None = setting("test sentences; null cuts test_fraction from path", None)
    validation_fraction: float = setting("share of the training sentences", 0.1, above=0, below=1)
    test_fraction: float = setting("share of the training sentences", 0.1, above=0, below=1)
    min_freq: int = count("occurrences in the training sentences a word needs", 1)
    max_size: int | None = count("most frequent words kept; null for all", None)


@dataclass
class TemporalOrder(Classification):
    """Hochreiter & Schmidhuber (1997), experiment 6a: which of two symbols came first."""

    level: str = choice("how long the sequences are, and how far apart the symbols", LEVELS, "easy")
    text: Text = field(default_factory=lambda: Text(tokenizer="whitespace", min_freq=1))
    data: OrderData = field(default_factory=lambda: OrderData(batch_size=32, max_length=1_000))
    pooling: str = choice("from one vector a step to one a sequence", POOLINGS, "last")
    output_dropout: float = fraction("variational dropout on the outputs of the recurrent core")
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=16, word_dropout=0.0))


@dataclass
class SequenceTask(TaskSettings):
    """What these tasks share."""

    data: Settings = field(default_factory=SequenceBatches)

    monitor: str = setting("metric that decides which checkpoint is best", "val/loss")
    mode: str = choice("which way that metric is better", ("max", "min"), "min")
    learning_rate: float = setting("default of optimizer.lr for Adam and AdamW", 5.0e-3, above=0)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=64))
    embedding: EmbeddingDefaults = field(default_factory=lambda: EmbeddingDefaults(size=16, word_dropout=0.0))
    output_dropout: float = fraction("variational dropout on the outputs of the recurrent core")


@dataclass
class Adding(SequenceTask):
    """The adding problem: the sum of the two marked numbers of a sequence."""

    data: AddingData = field(default_factory=AddingData)


@dataclass
class Copy(SequenceTask):
    """The copy problem: symbols, a wait, and the symbols again."""

    data: CopyData = field(default_factory=CopyData)


@dataclass
class Echo(SequenceTask):
    """A stream of bits, repeated after a delay, read in chunks."""

    data: EchoData = field(default_factory=EchoData)


@dataclass
class Counting(SequenceTask):
    """The next symbol of a^n b^n or a^n b^n c^n."""

    data: CountingData = field(default_factory=CountingData)


@dataclass
class Waves(SequenceTask):
    """The next values of a noisy sum of sine waves, at every step."""

    data: WavesData = field(default_factory=WavesData)


@dataclass
class Tagging(SequenceTask):
    """A label for each word."""

    data: TaggingData = field(default_factory=TaggingData)
