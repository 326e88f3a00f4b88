"""Names of the choices that the settings offer and the code implements, each tuple once.

Free of torch, so that `--help` and a refused setting need not wait for it to be imported.
"""

ACTIVATIONS = (
    *("tanh", "relu", "sigmoid", "softsign", "identity", "elu", "leaky_relu", "hardtanh", "softplus"),
    *("gelu", "silu"),
)
"""The keys of `recurrent.activations.ACTIVATIONS`."""
RECURRENT_INITS = ("orthogonal", "xavier")
"""The keys of `recurrent.initialisers.INITIALISERS`."""
INITIAL_STATES = ("zeros", "learned")
"""See `recurrent.stack`."""

EMBEDDINGS = ("learned", "onehot", "index")
EMBEDDING_INITS = ("random", "ppmi")
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
ATTENTIONS = ("none", "additive", "dot", "general", "scaled_dot")
PADDINGS = ("left", "right")
HEADS = ("full", "adaptive")

BRIDGES = ("zeros", "last", "learned")
TIED_WEIGHTS = ("none", "output", "all")
WORD2VEC_METHODS = ("skipgram", "cbow")
LENGTH_PENALTIES = ("none", "average", "gnmt")
EVALUATION_METHODS = ("plain", "cache", "dynamic")

UNITS = ("words", "subwords", "chars")
SUBWORDS = ("bpe", "unigram")
WORD_TOKENIZERS = ("words", "whitespace", "basic_english")
"""Of any text, see `text.tokenizers`."""
SENTENCE_TOKENIZERS = ("moses", "basic_english", "whitespace", "words")
"""Of a sentence in a known language, see `text.units`."""
TRUNCATIONS = ("head", "tail", "head_tail")

SOURCES = ("auto", "local", "download", "sample")
"""Where a published corpus comes from, see `data.corpora.download`."""
CURRICULA = ("baseline", "naive", "mix", "combined")
"""See `data.synthetic.execute`."""
