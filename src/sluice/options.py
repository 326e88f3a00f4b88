"""Names of the choices for settings.

This module does not import torch, so that `--help` and errors in settings appear quickly.
"""

ACTIVATIONS = (
    *("tanh", "relu", "sigmoid", "softsign", "identity", "elu", "leaky_relu", "hardtanh", "softplus"),
    *("gelu", "silu"),
)
"""The keys of `recurrent.activations.ACTIVATIONS`."""
RECURRENT_INITS = ("orthogonal", "xavier", "uniform")
"""The keys of `recurrent.initialisers.INITIALISERS`."""
INITIAL_STATES = ("zeros", "learned")
"""Initial states, see `recurrent.stack`."""

EMBEDDINGS = ("learned", "onehot", "index")
EMBEDDING_INITS = ("random", "ppmi")
POOLINGS = ("last", "max", "mean", "max_mean", "last_max_mean", "attention")
ATTENTIONS = ("none", "additive", "dot", "general", "scaled_dot")
PADDINGS = ("left", "right")
HEADS = ("full", "adaptive")

BRIDGES = ("zeros", "last", "learned")
TIED_WEIGHTS = ("none", "output", "all")
WORD2VEC_METHODS = ("skipgram", "cbow")
LENGTH_PENALTIES = ("none", "average", "gnmt")
TAG_SCHEMES = ("iob1", "iob2", "bioes", "bilou")
"""The keys of `text.tag_spans.SCHEMES`."""
EVALUATION_METHODS = ("plain", "cache", "dynamic")

UNITS = ("words", "subwords", "chars")
SUBWORDS = ("bpe", "unigram")
WORD_TOKENIZERS = ("words", "whitespace", "basic_english")
"""Tokenisers for any text, see `text.tokenizers`."""
SENTENCE_TOKENIZERS = ("moses", "basic_english", "whitespace", "words")
"""Tokenisers for sentences in a known language, see `text.units`."""
BLEU_TOKENIZERS = (
    *("auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"),
    *("flores101", "flores200", "spBLEU-1K"),
)
"""Tokenisers of sacrebleu's BLEU, see `metrics.translation_scores`."""
TRUNCATIONS = ("head", "tail", "head_tail")

SOURCES = ("auto", "local", "download", "sample")
"""Sources of a published corpus, see `data.corpora.download`."""
CURRICULA = ("baseline", "naive", "mix", "combined")
"""Curriculum strategies, see `data.synthetic.execute`."""
