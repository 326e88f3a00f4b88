"""Settings of sequence-to-sequence learning with attention."""

from dataclasses import dataclass, field

from sluice.config.common import MAX_LAYERS, MAX_SUBWORDS, MAX_UNITS, EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, refers_to, setting
from sluice.options import (
    ATTENTIONS,
    BLEU_TOKENIZERS,
    BRIDGES,
    LENGTH_PENALTIES,
    SENTENCE_TOKENIZERS,
    SOURCES,
    SUBWORDS,
    TIED_WEIGHTS,
    UNITS,
)


@dataclass
class PairText(Settings):
    """Tokenisation and vocabulary."""

    unit: str = choice("unit of a token", UNITS, "words")
    tokenizer: str = choice("tokenizer of words; moses: sacremoses", SENTENCE_TOKENIZERS, "moses")
    lowercase: bool = setting("convert all text to lower case", True)
    min_freq: int = count(
        "minimum number of occurrences of a word or character in the training sentences (not for subwords)", 2
    )
    max_size: int | None = count(
        "maximum vocabulary size of each language, most frequent words first; null for no limit (not for subwords)",
        None,
    )
    joint: bool = setting("one vocabulary for both languages", False)
    subwords: str = choice("subword algorithm (sentencepiece)", SUBWORDS, "bpe")
    subword_size: int = setting(
        "maximum size of the subword vocabulary; 256 subwords are bytes, of which rare and unseen characters consist",
        8_000,
        least=1,
        most=MAX_SUBWORDS,
    )
    subword_dropout: float = fraction("BPE-dropout: probability of leaving out a merge in a training sentence")


@dataclass
class PairBatches(Settings):
    """Batches of sentence pairs."""

    batch_size: int = count("pairs per training batch on each rank", 128)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    num_workers: int = setting("worker processes of the DataLoader", 0, least=0)


@dataclass
class PairData(PairBatches):
    """Filtering and batches of sentence pairs."""

    max_tokens: int | None = count(
        "maximum number of target tokens of a training batch, padding included; null for no limit", None
    )
    max_length: int = count(
        "maximum number of tokens of a sentence: longer training pairs are skipped, longer sources truncated", 100
    )
    max_ratio: float = setting(
        "maximum ratio of the lengths of a pair: training pairs above it are skipped", 9.0, least=1
    )
    source_language: str = setting("code of the source language", "de")
    target_language: str = setting("code of the target language, by whose rules translations are detokenised", "en")


@dataclass
class Multi30kData(PairData):
    """Multi30k, task 1."""

    source: str = choice(
        "source of the sentences; auto tries local, download and sample in this order", SOURCES, "auto"
    )
    sample_size: int = setting("generated training pairs with source=sample", 8_000, least=20)


@dataclass
class OwnPairs(PairData):
    """User-supplied parallel sentences."""

    path: str = setting("training pairs: a TSV file with one pair per line, or the source side of two aligned files")
    target_path: str | None = setting("target side of the training pairs; null if path holds both", None)
    validation_path: str | None = setting(
        "validation pairs, in the format of path; null splits off validation_fraction of the training pairs", None
    )
    validation_target_path: str | None = setting(
        "target side of the validation pairs; null if validation_path holds both", None
    )
    test_path: str | None = setting(
        "test pairs, in the format of path; null splits off test_fraction of the training pairs", None
    )
    test_target_path: str | None = setting("target side of the test pairs; null if test_path holds both", None)
    validation_fraction: float = setting("fraction of the training pairs used for validation", 0.05, above=0, below=1)
    test_fraction: float = setting("fraction of the training pairs used for the test", 0.05, above=0, below=1)
    source_language: str = setting("code of the source language", "en")
    target_language: str = setting("code of the target language, by whose rules translations are detokenised", "en")


@dataclass
class DecoderSettings(Settings):
    """The decoder; the encoder is `model`."""

    cell: str = setting("registered cell", refers_to("model.cell"))
    hidden_size: int = setting("units per layer", 512, least=1, most=MAX_UNITS)
    num_layers: int = setting("number of layers", 1, least=1, most=MAX_LAYERS)
    output_size: int | None = count(
        "size of the decoder output, the input of the output layer; null for embedding.size", None
    )
    input_feeding: bool = setting(
        "feed the attentional output of each step into the next step (Luong et al. 2015)", False
    )
    attention_size: int | None = count("hidden units of additive attention; null for the units of the decoder", None)
    hidden_dropout: float = fraction(
        "variational dropout probability of the decoder states, before the output layer", 0.0
    )
    embedding_path: str | None = setting(
        "pretrained vectors of the target language, in the format of embedding.path", None
    )


@dataclass
class Decoding(Settings):
    """Beam search."""

    beam: int = count("beam size of validation; 1 is greedy search", 1)
    length_penalty: str = choice("length normalisation of the scores of hypotheses", LENGTH_PENALTIES, "average")
    alpha: float = setting("exponent of the length penalty", 1.0, least=0, most=100)
    max_length_factor: float = setting(
        "maximum length of a translation: this many times the length of the source, plus max_length_offset",
        1.5,
        least=0,
        most=100,
    )
    max_length_offset: int = setting(
        "tokens added to max_length_factor times the length of the source", 10, least=1, most=100_000
    )


@dataclass
class Translating(TaskSettings):
    """Sequence-to-sequence learning."""

    monitor: str = setting("validation metric that selects the best checkpoint", "val/bleu_lowercase")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"), "max")
    max_epochs: int = count("default of trainer.max_epochs", 8)
    recurrent: RecurrentDefaults = field(
        default_factory=lambda: RecurrentDefaults(hidden_size=256, bidirectional=True, input_dropout=0.2)
    )
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=256, word_dropout=0.0, initial_std=1.0)
    )
    data: PairBatches = field(default_factory=PairBatches)
    attention: str = choice("attention of the decoder over the source", ATTENTIONS, "general")
    bridge: str = choice("initial state of the decoder, from the last state of the encoder", BRIDGES, "learned")
    tie_weights: str = choice(
        "output: output layer and target embedding use the same weights; all: the source embedding too",
        TIED_WEIGHTS,
        "output",
    )
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    memory_dropout: float = fraction("variational dropout probability of the encoder outputs")
    output_dropout: float = fraction("variational dropout probability of the input of the output layer", 0.3)
    label_smoothing: float = fraction("label smoothing: probability spread evenly over the vocabulary", 0.1)
    r_drop: float = setting(
        "R-Drop: weight α of the divergence between two predictions of each word with different dropout masks; "
        "0 disables it",
        0.0,
        least=0,
        most=1_000,
    )
    scheduled_sampling: float = setting(
        "final probability of feeding the model's own prediction instead of the target token", 0.0, least=0, most=1
    )
    scheduled_sampling_steps: int = count("optimizer steps over which this probability grows from 0", 5_000)
    replace_unknown: bool = setting(
        "replace <unk> in the output by the source word with the highest attention weight", True
    )
    decoding: Decoding = field(default_factory=Decoding)
    test_beam: int = count("beam size of the test", 5)
    extra_beams: list[int] = setting("other beam sizes with which the test is repeated", (), least=1)


@dataclass
class SentenceTranslation(Translating):
    """Translation of sentences."""

    text: PairText = field(default_factory=PairText)
    data: PairData = field(default_factory=PairData)
    bleu_tokenizer: str = choice(
        "tokenizer of BLEU (sacrebleu); auto: zh, ja-mecab or ko-mecab for these target languages, otherwise 13a",
        BLEU_TOKENIZERS,
        "auto",
    )


@dataclass
class Multi30k(SentenceTranslation):
    """Image captions, German and English (Elliott et al. 2016)."""

    data: Multi30kData = field(default_factory=Multi30kData)


@dataclass
class Parallel(SentenceTranslation):
    """Translation of user-supplied parallel sentences."""

    data: OwnPairs = field(default_factory=OwnPairs)
