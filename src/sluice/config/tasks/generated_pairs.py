"""Settings of two sequence-to-sequence tasks: executing programs, and one-to-many generation of sentences."""

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
    """Generated programs and their output."""

    batch_size: int = count("programs per training batch on each rank", 64)
    length: int = count("maximum number of digits of the numbers in a program", 3)
    nesting: int = setting("number of nested operations of a program", 1, least=1, most=20)
    curriculum: str = choice(
        "training programs; baseline: full difficulty; naive: increasing difficulty; mix: random difficulty; combined: "
        "half naive, half mix",
        CURRICULA,
        "combined",
    )
    curriculum_fraction: float = fraction(
        "fraction of the epochs after which naive and combined reach full difficulty", 0.5
    )
    size: int = count("generated training programs per epoch", 100_000)
    val_size: int = count("generated validation programs", 2_000)
    test_size: int = count("generated test programs", 10_000)
    max_length: int = count(
        "maximum number of characters of a program: longer programs are skipped in training and truncated later",
        5_000,
    )


@dataclass
class SentenceData(PairBatches):
    """Sentences, each with a number or a label."""

    batch_size: int = count("sentences per training batch on each rank", 32)
    path: str | None = setting(
        "text file whose sentences are numbered and reproduced by number; null generates sentences from labels", None
    )
    limit: int | None = count("number of sentences used, from the beginning of the file; null for all", None)
    size: int = count("generated training sentences", 8_000)
    val_size: int = count("generated validation sentences", 1_000)
    test_size: int = count("generated test sentences", 2_000)
    max_length: int = count("maximum number of tokens of a sentence: longer training sentences are skipped", 300)


@dataclass
class Execute(Translating):
    """Learning to execute (Zaremba & Sutskever 2014)."""

    data: ExecuteData = field(default_factory=ExecuteData)
    monitor: str = setting("validation metric that selects the best checkpoint", "val/digit_accuracy")
    max_epochs: int = count("default of trainer.max_epochs", 12)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=128, bidirectional=True))
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=64, word_dropout=0.0, initial_std=1.0)
    )
    decoder: DecoderSettings = field(default_factory=lambda: DecoderSettings(hidden_size=256))
    output_dropout: float = fraction("variational dropout probability of the input of the output layer")
    label_smoothing: float = fraction("label smoothing: probability spread evenly over all characters")
    replace_unknown: bool = setting(
        "replace <unk> in the output by the source character with the highest attention weight", False
    )
    decoding: Decoding = field(default_factory=lambda: Decoding(length_penalty="none", max_length_factor=0.5))
    test_beam: int = count("beam size of the test", 1)


@dataclass
class VectorToSequence(Translating):
    """One-to-many: the embedding of a symbol is the initial state of the decoder, which generates a sentence."""

    data: SentenceData = field(default_factory=SentenceData)
    text: PairText = field(default_factory=lambda: PairText(tokenizer="whitespace", lowercase=False, min_freq=1))
    monitor: str = setting("validation metric that selects the best checkpoint", "val/perplexity")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "min")
    max_epochs: int = count("default of trainer.max_epochs", 20)
    recurrent: RecurrentDefaults = field(default_factory=lambda: RecurrentDefaults(hidden_size=128))
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=128, word_dropout=0.0, initial_std=1.0)
    )
    attention: str = choice("attention of the decoder; no effect on a single symbol", ATTENTIONS, "none")
    tie_weights: str = choice(
        "output: output layer and target embedding use the same weights; all: the source embedding too",
        TIED_WEIGHTS,
        "output",
    )
    decoder: DecoderSettings = field(default_factory=lambda: DecoderSettings(hidden_size=256))
    output_dropout: float = fraction("variational dropout probability of the input of the output layer")
    label_smoothing: float = fraction("label smoothing: probability spread evenly over the vocabulary")
    replace_unknown: bool = setting("replace <unk> in the output by the symbol", False)
    decoding: Decoding = field(
        default_factory=lambda: Decoding(length_penalty="none", max_length_factor=0.0, max_length_offset=300)
    )
    test_beam: int = count("beam size of the test", 1)
