"""What every task has: the recurrent core, the embedding, and the defaults that suit the task."""

from dataclasses import dataclass, field

from omegaconf import II, MISSING

from sluice.config.fields import Settings, choice, count, fraction, setting
from sluice.options import ACTIVATIONS, EMBEDDING_INITS, EMBEDDINGS, INITIAL_STATES, RECURRENT_INITS


@dataclass
class RecurrentDefaults(Settings):
    """Sizes that suit a task; the settings of `model` default to them."""

    hidden_size: int = count("units of each layer and direction", 128)
    num_layers: int = count("layers", 1)
    bidirectional: bool = setting("also run from each text's own end", False)
    dropout: float = fraction("share of a layer's outputs dropped before the next layer")
    input_dropout: float = fraction("variational dropout on the embedded words")
    variational: bool = setting("between layers too, the same units are dropped at every step of a text", False)


@dataclass
class Model(Settings):
    """The recurrent core."""

    name: str = setting("what the run's folder and results call it")
    cell: str = setting("a registered cell; each has a file in conf/model")
    module: str | None = setting("Python file that registers a cell of your own, imported first", None)
    hidden_size: int = count("units of each layer and direction", II("task.recurrent.hidden_size"))
    num_params: int | None = count(
        "parameters of the core: hidden_size is then solved for; null takes hidden_size", None
    )
    num_layers: int = count("layers", II("task.recurrent.num_layers"))
    bidirectional: bool = setting("also run from each text's own end", II("task.recurrent.bidirectional"))
    dropout: float = fraction("share of a layer's outputs dropped before the next layer", II("task.recurrent.dropout"))
    input_dropout: float = fraction("variational dropout on the embedded words", II("task.recurrent.input_dropout"))
    variational: bool = setting(
        "between layers too, the same units are dropped at every step of a text", II("task.recurrent.variational")
    )
    recurrent_dropout: float = fraction("share of the hidden units the recurrent product doesn't see, by sequence")
    weight_dropout: float = fraction("share of the recurrent weights dropped from each batch (DropConnect)")
    residual: bool = setting("add a layer's input to its output, from the second layer on", False)
    activation: str | None = choice("f of the new state, f_h of an LSTM; null for the cell's own", ACTIVATIONS, None)
    cell_activation: str | None = choice("f_c of an LSTM's candidate; null for the cell's own", ACTIVATIONS, None)
    initial_state: str = choice("the state before the first word", INITIAL_STATES, "zeros")
    recurrent_init: str = choice("how each gate's recurrent matrix begins", RECURRENT_INITS, "orthogonal")
    forget_bias: float = setting("initial bias of the gate that keeps the old state", 1.0)
    layernorm_init_gain: float | None = setting(
        "initial gain of a layer-normalised recurrent product; null for the cell's own", None, above=0
    )


@dataclass
class EmbeddingDefaults(Settings):
    """What suits a task; the settings of `embedding` default to it."""

    size: int = count("units of a learned embedding", 100)
    word_dropout: float = fraction("share of the vocabulary dropped from a training batch", 0.3)
    init: str = choice("how a learned embedding begins", EMBEDDING_INITS, "random")
    initial_std: float = setting("deviation of the numbers in a random one", 0.1, above=0)
    adversarial_epsilon: float = fraction("perturbation of embedded texts in training, where the embedding is learned")


@dataclass
class Embedding(Settings):
    """From ids to the recurrent input."""

    kind: str = choice("what a word becomes", EMBEDDINGS)
    size: int = count("units of a learned embedding", II("task.embedding.size"))
    init: str = choice(
        "how it begins; ppmi: from which words stand near which in the training texts", EMBEDDING_INITS, "random"
    )
    path: str | None = setting(
        "file of vectors to begin with (GloVe, fastText, word2vec) or run of task=word2vec; a translator's are for its "
        "sources; null for none"
    )
    frozen: bool = setting("the vectors are not trained", False)
    initial_std: float = setting(
        "deviation of the numbers it begins with at random", II("task.embedding.initial_std"), above=0
    )
    word_dropout: float = fraction(
        "share of the vocabulary dropped from a training batch", II("task.embedding.word_dropout")
    )
    adversarial_epsilon: float = fraction(
        "perturbation of embedded texts in training, a share of their length; 0 for none"
    )


@dataclass
class TaskSettings(Settings):
    """What every task says of itself."""

    name: str = MISSING
    module: str | None = setting("Python file that registers the task, for a task from outside Sluice", None)
    monitor: str = setting("metric that decides which checkpoint is best")
    mode: str = choice("which way that metric is better", ("max", "min"))
    max_epochs: int = count("epochs", 4)
    learning_rate: float = setting("default of optimizer.lr for Adam and AdamW", 2.0e-3, above=0)
    gradient_clip: float | None = setting("default of trainer.gradient_clip_val; null for none", 1.0, above=0)
    gpu_precision: str = setting("default of trainer.precision with trainer=gpu and trainer=ddp", "bf16-mixed")
    recurrent: RecurrentDefaults = field(default_factory=RecurrentDefaults)
    embedding: EmbeddingDefaults = field(default_factory=EmbeddingDefaults)
