"""Settings that every task has: the recurrent core, the embedding, and their defaults for a task."""

from dataclasses import dataclass, field
from typing import Any

from sluice.config.fields import Settings, choice, count, fraction, layer_sizes, refers_to, setting
from sluice.options import ACTIVATIONS, EMBEDDING_INITS, EMBEDDINGS, INITIAL_STATES, RECURRENT_INITS

MAX_LAYERS, MAX_UNITS, MAX_SUBWORDS = 100, 10_000_000, 10_000_000
MAX_BIAS = 1_000_000
PRECISIONS = ("bf16-mixed", "16-mixed", "32-true", "64-true", "bf16-true", "16-true")
DEFAULT_LAYERS = refers_to("task.recurrent.num_layers")
"""Default of model.num_layers, unless model.hidden_size is a list."""


@dataclass
class RecurrentDefaults(Settings):
    """Defaults of `model` for a task. Users set `model.*`; a task's YAML file sets these."""

    hidden_size: Any = layer_sizes("default of model.hidden_size", 128)
    num_layers: int = count("default of model.num_layers", 1)
    bidirectional: bool = setting("default of model.bidirectional", False)
    dropout: float = fraction("default of model.dropout")
    input_dropout: float = fraction("default of model.input_dropout")
    variational: bool = setting("default of model.variational", False)


@dataclass
class Model(Settings):
    """The recurrent core."""

    name: str = setting("name of the model in the run folder and the results", refers_to("model.cell"))
    cell: str = setting("registered cell; model=NAME chooses a built-in one")
    module: str | None = setting("Python file that registers a custom cell", None)
    hidden_size: Any = layer_sizes(
        "units per layer and direction",
        refers_to("task.recurrent.hidden_size"),
        most=MAX_UNITS,
    )
    num_params: int | None = count(
        "number of parameters of the core, from which hidden_size is computed; null uses hidden_size", None
    )
    num_layers: int = setting(
        "number of layers; by default that of a list of hidden sizes", DEFAULT_LAYERS, least=1, most=MAX_LAYERS
    )
    bidirectional: bool = setting(
        "run each layer in both directions; the backward direction starts at the last token",
        refers_to("task.recurrent.bidirectional"),
    )
    dropout: float = fraction("dropout probability between layers", refers_to("task.recurrent.dropout"))
    input_dropout: float = fraction(
        "variational dropout probability of the embedded tokens", refers_to("task.recurrent.input_dropout")
    )
    variational: bool = setting(
        "use one dropout mask for all steps of a sequence between layers", refers_to("task.recurrent.variational")
    )
    recurrent_dropout: float = fraction(
        "dropout probability of the previous hidden state in the recurrent product, one mask per sequence"
    )
    weight_dropout: float = fraction("dropout probability of the recurrent weights, one mask per batch (DropConnect)")
    residual: bool = setting("add the input of each layer to its output, from the second layer on", False)
    activation: str | None = choice(
        "activation of the hidden state of a simple RNN or the candidate of a GRU; for an LSTM, f_h in h = o * f_h(c); "
        "null for the default of the cell",
        ACTIVATIONS,
        None,
    )
    cell_activation: str | None = choice(
        "activation of an LSTM's candidate; null for the default of the cell", ACTIVATIONS, None
    )
    initial_state: str = choice("initial state of a sequence", INITIAL_STATES, "zeros")
    recurrent_init: str = choice(
        "initialiser of the recurrent matrix of each gate; uniform: of all weights and biases, as in torch.nn",
        RECURRENT_INITS,
        "orthogonal",
    )
    forget_bias: float = setting(
        "initial bias of the forget gate; the update gate of a GRU starts at this value minus 1",
        1.0,
        least=-MAX_BIAS,
        most=MAX_BIAS,
    )
    layernorm_init_gain: float | None = setting(
        "initial gain of the layer-normalised recurrent product; null for the default of the cell", None, above=0
    )


@dataclass
class EmbeddingDefaults(Settings):
    """Defaults of `embedding` for a task. Users set `embedding.*`; a task's YAML file sets these."""

    size: int = count("default of embedding.size", 100)
    word_dropout: float = fraction("default of embedding.word_dropout", 0.3)
    init: str = choice("default of embedding.init", EMBEDDING_INITS, "random")
    initial_std: float = setting("default of embedding.initial_std", 0.1, above=0)
    adversarial_epsilon: float = fraction("default of embedding.adversarial_epsilon, where the embedding is learned")


@dataclass
class Embedding(Settings):
    """The embedding of the tokens."""

    kind: str = choice("representation of a token", EMBEDDINGS)
    size: int = setting("size of a learned embedding", refers_to("task.embedding.size"), least=1, most=MAX_UNITS)
    init: str = choice(
        "initialisation; ppmi: from co-occurrence counts of the training texts (classification of texts, without path)",
        EMBEDDING_INITS,
        "random",
    )
    path: str | None = setting(
        "pretrained vectors: a GloVe, fastText or word2vec file, a name such as glove.6B.100d (downloaded), or a run "
        "of task=word2vec; for translation, of the source language; null for none"
    )
    frozen: bool = setting("do not train the embedding; in translation, that of the source language", False)
    initial_std: float = setting(
        "standard deviation of the random initialisation", refers_to("task.embedding.initial_std"), above=0
    )
    word_dropout: float = fraction(
        "fraction of the vocabulary dropped from each training batch", refers_to("task.embedding.word_dropout")
    )
    adversarial_epsilon: float = fraction(
        "norm of the adversarial perturbation in training, relative to the norm of the embedded text; 0 for none "
        "(classification of texts)"
    )


@dataclass
class TaskSettings(Settings):
    """Settings of every task."""

    name: str = setting("name of the task; choose another as task=NAME")
    module: str | None = setting("Python file that registers the task, for a task that is not part of Sluice", None)
    monitor: str = setting("validation metric that selects the best checkpoint")
    mode: str = choice("whether the best value of the metric is its largest or smallest", ("max", "min"))
    max_epochs: int = count("default of trainer.max_epochs", 4)
    learning_rate: float = setting("default of optimizer.lr of Adam and AdamW", 2.0e-3, above=0)
    layer_decay: float = setting(
        "discriminative fine-tuning: factor of the learning rate from each layer to the one below it; 1 for none",
        1.0,
        above=0,
        most=1,
    )
    gradient_clip: float | None = setting("default of trainer.gradient_clip_val; null for none", 1.0, above=0)
    gpu_precision: str = choice(
        "default of trainer.precision with trainer=gpu and trainer=ddp", PRECISIONS, "bf16-mixed"
    )
    recurrent: RecurrentDefaults = field(default_factory=RecurrentDefaults)
    embedding: EmbeddingDefaults = field(default_factory=EmbeddingDefaults)
