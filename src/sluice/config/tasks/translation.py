"""Settings of sequence to sequence with attention."""

from dataclasses import dataclass, field

from omegaconf import II

from sluice.config.common import EmbeddingDefaults, RecurrentDefaults, TaskSettings
from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import (
    ATTENTIONS,
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
    """From sentences to ids."""

    unit: str = choice("what a sentence is cut into", UNITS, "words")
    tokenizer: str = choice("how words are cut; moses is sacremoses", SENTENCE_TOKENIZERS, "moses")
    lowercase: bool = setting("read and write lower-cased text only", True)
    min_freq: int = count("occurrences in the training sentences a word needs", 2)
    max_size: int | None = count("most frequent words kept of each language; null for all", None)
    joint: bool = setting("one vocabulary for both languages", False)
    subwords: str = choice("how subwords are learned (sentencepiece)", SUBWORDS, "bpe")
    subword_size: int = count("subwords of a vocabulary", 8_000)


@dataclass
class PairBatches(Settings):
    """From ids to batches."""

    batch_size: int = count("pairs in a batch, per rank", 128)
    global_batch_size: int | None = count("batch size of all ranks together, instead of batch_size", None)
    num_workers: int = setting("loader processes", 0, least=0)


@dataclass
class PairData(PairBatches):
    """From sentences to batches."""

    max_tokens: int | None = count("token budget of a training batch, padding counted; null for none", None)
    max_length: int = count("tokens of a sentence: longer pairs don't train, longer sources are cut", 100)
    max_ratio: float = setting("longer sentence by shorter: pairs above it don't train", 9.0, least=1)
    source_language: str = setting("code of the language translated from", "de")
    target_language: str = setting("code of the language translated into", "en")


@dataclass
class Multi30kData(PairData):
    """Multi30k, task 1."""

    source: str = choice("where the sentences come from; auto tries local, download, sample", SOURCES, "auto")
    sample_size: int = setting("training pairs that source=sample generates", 8_000, least=20)


@dataclass
class OwnPairs(PairData):
    """One's own sentence pairs."""

    path: str = setting("training pairs: a file with a pair a line (TSV), or the sentences of two aligned files")
    target_path: str | None = setting("the translations, line by line; null where path has both", None)
    validation_path: str | None = setting(
        "validation pairs; null cuts validation_fraction from the training pairs", None
    )
    validation_target_path: str | None = setting("their translations; null where validation_path has both", None)
    test_path: str | None = setting("test pairs; null cuts test_fraction from the training pairs", None)
    test_target_path: str | None = setting("their translations; null where test_path has both", None)
    validation_fraction: float = setting("share of the training pairs", 0.05, above=0, below=1)
    test_fraction: float = setting("share of the training pairs", 0.05, above=0, below=1)
    source_language: str = setting("code of the language translated from", "en")
    target_language: str = setting("code of the language translated into", "en")


@dataclass
class DecoderSettings(Settings):
    """The half that writes; the half that reads is `model`."""

    cell: str = setting("a registered cell", II("model.cell"))
    hidden_size: int = count("units of each layer", 512)
    num_layers: int = count("layers", 1)
    output_size: int | None = count("units the output layer reads; null for embedding.size", None)
    input_feeding: bool = setting("what a step ended with goes into the next step, too", False)
    attention_size: int | None = count("hidden layer of additive attention; null for the decoder's units", None)
    hidden_dropout: float = fraction("variational dropout on the decoder's states where words are made of them", 0.0)
    embedding_path: str | None = setting("vectors that what it has written begins with, as embedding.path", None)


@dataclass
class Decoding(Settings):
    """How translations are searched for."""

    beam: int = count("hypotheses a sentence; 1 is greedy", 1)
    length_penalty: str = choice("how hypotheses of different lengths are compared", LENGTH_PENALTIES, "average")
    alpha: float = setting("of the length penalty", 1.0, least=0)
    max_length_factor: float = setting("a translation has at most so many times the source's tokens", 1.5, least=0)
    max_length_offset: int = count("and so many more", 10)


@dataclass
class Translating(TaskSettings):
    """A sentence in, a sentence out."""

    monitor: str = setting("metric that decides which checkpoint is best", "val/bleu_lowercase")
    mode: str = choice("which way that metric is better", ("max", "min"), "max")
    max_epochs: int = count("epochs", 8)
    recurrent: RecurrentDefaults = field(
        default_factory=lambda: RecurrentDefaults(hidden_size=256, bidirectional=True, input_dropout=0.2)
    )
    embedding: EmbeddingDefaults = field(
        default_factory=lambda: EmbeddingDefaults(size=256, word_dropout=0.0, initial_std=1.0)
    )
    data: PairBatches = field(default_factory=PairBatches)
    attention: str = choice("how the decoder looks at the source", ATTENTIONS, "general")
    bridge: str = choice("from the encoder's last state to the decoder's first", BRIDGES, "learned")
    tie_weights: str = choice(
        "which weights the embedding shares: output: target embedding and output layer; all: the source embedding too",
        TIED_WEIGHTS,
        "output",
    )
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    memory_dropout: float = fraction("variational dropout on the encoder's outputs")
    output_dropout: float = fraction("variational dropout on what the output layer reads", 0.3)
    label_smoothing: float = fraction("share of the target spread over all words", 0.1)
    scheduled_sampling: float = setting("share of the words replaced by the model's own, in the end", 0.0, least=0)
    scheduled_sampling_steps: int = count("optimizer steps over which that share grows", 5_000)
    replace_unknown: bool = setting("the source word looked at most stands in for an unknown word", True)
    decoding: Decoding = field(default_factory=Decoding)
    test_beam: int = count("beam of the test", 5)
    extra_beams: list[int] = setting("beams that the test's scores are also told for", ())


@dataclass
class SentenceTranslation(Translating):
    """A sentence in, its translation out."""

    text: PairText = field(default_factory=PairText)
    data: PairData = field(default_factory=PairData)


@dataclass
class Multi30k(SentenceTranslation):
    """Captions of pictures, German and English (Elliott et al. 2016)."""

    data: Multi30kData = field(default_factory=Multi30kData)


@dataclass
class Parallel(SentenceTranslation):
    """One's own sentence pairs."""

    data: OwnPairs = field(default_factory=OwnPairs)
