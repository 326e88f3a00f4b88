"""Settings of two tasks of writing: what a program prints, and the sentence of a number or a label."""

from dataclasses import dataclass, field

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults
from sluice.config.fields import choice, count, fraction, setting
from sluice.config.tasks.translation import (
    DecoderSettings,
    Decoding,
    PairBatches,
    PairText,
    Translating,
)
from sluice.options import ATTENTIONS, CURRICULA, TIED_WEIGHTS


@dataclass
class ExecuteData(PairBatches):
    """Programs and what they print."""

    batch_size: int = count("programs in a batch, per rank", 64)
    length: int = count("most digits of a program's numbers", 3)
    nesting: int = count("operations of a program", 1)
    curriculum: str = choice(
        "programs of training: all hard; harder stage by stage; of every difficulty; half of the last two each",
        CURRICULA,
        "combined",
    )
    curriculum_fraction: float = fraction(
        "share of the epochs in which naive and combined go through their stages", 0.5
    )
    size: int = count("training programs of one stage; an epoch has those of one", 100_000)
    val_size: int = count("validation programs", 2_000)
    test_size: int = count("test programs", 10_000)
    max_length: int = count("letters of a program: none may train that is longer, and longer ones are cut", 5_000)


@dataclass
class SentenceData(PairBatches):
    """Sentences, and what stands for each."""

    batch_size: int = count("sentences in a batch, per rank", 32)
    path: str | None = setting("a book, to write the sentence of a number; null: sentences made up, for a label", None)
    limit: int | None = count("sentences of the book, from its beginning; null for all", None)
    size: int = count("training sentences made up", 8_000)
    val_size: int = count("validation sentences made up", 1_000)
    test_size: int = count("test sentences made up", 2_000)
    max_length: int = count("tokens of a sentence: longer ones don't train", 300)


@dataclass
class Execute(Translating):
    """Learning to execute (Zaremba & Sutskever 2014)."""

    data: ExecuteData = field(default_factory=ExecuteData)
    monitor: str = setting("metric that decides which checkpoint is best", "val/digit_accuracy")
    max_epochs: int = count("epochs", 12)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=128, bidirectional=True))
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=64, word_dropout=0.0, initial_std=1.0)
    )
    decoder: DecoderSettings = field(default_factory=lambda: DecoderSettings(hidden_size=256))
    output_dropout: float = fraction("variational dropout on what the output layer reads")
    label_smoothing: float = fraction("share of the target spread over all letters")
    replace_unknown: bool = setting("the source letter looked at most stands in for an unknown letter", False)
    decoding: Decoding = field(default_factory=lambda: Decoding(length_penalty="none", max_length_factor=0.5))
    test_beam: int = count("beam of the test", 1)


@dataclass
class VectorToSequence(Translating):
    """One to many: a symbol's vector starts the decoder, which writes a sentence."""

    data: SentenceData = field(default_factory=SentenceData)
    text: PairText = field(default_factory=lambda: PairText(tokenizer="whitespace", lowercase=False, min_freq=1))
    monitor: str = setting("metric that decides which checkpoint is best", "val/perplexity")
    mode: str = choice("which way that metric is better", ("max", "min"), "min")
    max_epochs: int = count("epochs", 20)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=128))
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=128, word_dropout=0.0, initial_std=1.0)
    )
    attention: str = choice("how the decoder looks at the symbol", ATTENTIONS, "none")
    tie_weights: str = choice(
        "which weights the embedding shares: output: target embedding and output layer; all: the source embedding too",
        TIED_WEIGHTS,
        "output",
    )
    decoder: DecoderSettings = field(default_factory=lambda: DecoderSettings(hidden_size=256))
    output_dropout: float = fraction("variational dropout on what the output layer reads")
    label_smoothing: float = fraction("share of the target spread over all words")
    replace_unknown: bool = setting("the symbol stands in for an unknown word", False)
    decoding: Decoding = field(
        default_factory=lambda: Decoding(length_penalty="none", max_length_factor=0.0, max_length_offset=300)
    )
    test_beam: int = count("beam of the test", 1)
