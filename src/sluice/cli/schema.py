"""Every setting that has a type: its default, its meaning and its range. Unknown keys and wrong values stop here.

The groups `optimizer`, `scheduler`, `trainer`, `callbacks` and `logger` take what their `_target_` takes.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from omegaconf import II, MISSING

from sluice.errors import UserError

SOURCES = ("auto", "local", "download", "sample")
TOKENIZERS = ("basic_english", "whitespace")
TRUNCATIONS = ("head", "tail", "head_tail")
EMBEDDINGS = ("learned", "onehot", "index")
EMBEDDING_STARTS = ("random", "ppmi")
POOLINGS = ("last", "max", "mean", "max_mean", "attention")
INITIAL_STATES = ("zeros", "learned")
RECURRENT_INITS = ("orthogonal", "xavier")
ACTIVATIONS = (
    *("tanh", "relu", "sigmoid", "softsign", "identity", "elu", "leaky_relu", "hardtanh", "softplus"),
    *("gelu", "silu"),
)


@dataclass(frozen=True)
class Allowed:
    """Which values a setting takes."""

    least: float | None = None
    below: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()

    def expected(self) -> str:
        """The range in words; empty where anything goes."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = {"at least": self.least, "above": self.above, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)

    def allows(self, value: Any) -> bool:
        """Whether the value lies in the range."""
        if self.choices:
            return value in self.choices
        if self.least is not None and not value >= self.least:
            return False
        if self.above is not None and not value > self.above:
            return False
        return self.below is None or value < self.below


def _setting(meaning: str, default: Any = MISSING, **allowed: Any) -> Any:
    return field(default=default, metadata={"meaning": meaning, "allowed": Allowed(**allowed)})


def _count(meaning: str, default: Any = MISSING) -> Any:
    return _setting(meaning, default, least=1)


def _share(meaning: str, default: Any = 0.0) -> Any:
    return _setting(meaning, default, least=0, below=1)


def _choice(meaning: str, choices: tuple[str, ...], default: Any = MISSING) -> Any:
    return _setting(meaning, default, choices=choices)


@dataclass
class RecurrentDefaults:
    """Sizes that suit a task; the settings of `model` default to them."""

    hidden_size: int = _count("units of each layer and direction", 128)
    num_layers: int = _count("layers", 1)
    bidirectional: bool = _setting("also run from each text's own end", False)
    dropout: float = _share("share of a layer's outputs dropped before the next layer")
    input_dropout: float = _share("variational dropout on the embedded words")


@dataclass
class Model:
    """The recurrent core."""

    name: str = _setting("what the run's folder and results call it")
    cell: str = _setting("a registered cell; each has a file in conf/model")
    module: str | None = _setting("Python file that registers a cell of your own, imported first", None)
    hidden_size: int = _count("units of each layer and direction", II("task.recurrent.hidden_size"))
    num_layers: int = _count("layers", II("task.recurrent.num_layers"))
    bidirectional: bool = _setting("also run from each text's own end", II("task.recurrent.bidirectional"))
    dropout: float = _share("share of a layer's outputs dropped before the next layer", II("task.recurrent.dropout"))
    input_dropout: float = _share("variational dropout on the embedded words", II("task.recurrent.input_dropout"))
    recurrent_dropout: float = _share("share of the hidden units the recurrent product doesn't see, by sequence")
    weight_dropout: float = _share("share of the recurrent weights dropped from each batch (DropConnect)")
    residual: bool = _setting("add a layer's input to its output, from the second layer on", False)
    activation: str | None = _choice("f of the new state, f_h of an LSTM; null for the cell's own", ACTIVATIONS, None)
    cell_activation: str | None = _choice("f_c of an LSTM's candidate; null for the cell's own", ACTIVATIONS, None)
    initial_state: str = _choice("the state before the first word", INITIAL_STATES, "zeros")
    recurrent_init: str = _choice("how each gate's recurrent matrix begins", RECURRENT_INITS, "orthogonal")
    forget_bias: float = _setting("initial bias of the gate that keeps the old state", 1.0)


@dataclass
class Embedding:
    """From ids to the recurrent input."""

    kind: str = _choice("what a word becomes", EMBEDDINGS)
    size: int = _count("units of a learned embedding", 100)
    start: str = _choice(
        "how it begins; ppmi: from which words stand near which in the training texts", EMBEDDING_STARTS, "random"
    )
    word_dropout: float = _share("share of the vocabulary dropped from a training batch", 0.3)
    adversarial: float = _share("perturbation of embedded texts in training, a share of their length; 0 for none")


@dataclass
class Text:
    """From texts to ids."""

    tokenizer: str = _choice("how a text is cut", TOKENIZERS, "basic_english")
    min_freq: int = _count("occurrences in the training texts a word needs", 2)
    max_size: int | None = _count("most frequent words kept; null for all", 30_000)


@dataclass
class TextData:
    """From ids to batches."""

    batch_size: int = _count("texts in a training batch, per rank", 64)
    split_batch: bool = _setting("batch_size is that of all ranks together", False)
    max_tokens: int | None = _count("token budget of a training batch, padding counted; null for none", None)
    max_length: int = _count("tokens kept of a text", 400)
    truncation: str = _choice("which end of a long text is kept", TRUNCATIONS, "head_tail")
    validation_share: float = _setting("share of each class held out of the training texts", 0.1, above=0, below=1)
    num_workers: int = _setting("loader processes", 0, least=0)


@dataclass
class ImdbData(TextData):
    """The IMDB reviews."""

    source: str = _choice("where the reviews come from; auto tries local, download, sample", SOURCES, "auto")
    sample_size: int = _setting("training reviews that source=sample generates", 20_000, least=20)


@dataclass
class TableData(TextData):
    """One's own texts with labels: CSV, TSV or JSONL."""

    path: str = _setting("file with the training texts")
    validation_path: str | None = _setting("validation texts; null cuts validation_share from the training file", None)
    test_path: str | None = _setting("test texts; null cuts test_share from the training file", None)
    test_share: float = _setting("share of each class cut from the training file for the test", 0.1, above=0, below=1)
    text_column: str = _setting("column or key with the text", "text")
    label_column: str = _setting("column or key with the class", "label")


@dataclass
class Classification:
    """Many-to-one: a text in, a class out."""

    name: str = MISSING
    monitor: str = _setting("metric that decides which checkpoint is best", "val/accuracy")
    mode: str = _choice("which way that metric is better", ("max", "min"), "max")
    max_epochs: int = _count("epochs", 4)
    recurrent: RecurrentDefaults = field(default_factory=RecurrentDefaults)
    text: Text = field(default_factory=Text)
    pooling: str = _choice("from one vector a step to one a text", POOLINGS, "max_mean")
    output_dropout: float = _share("variational dropout on the outputs of the recurrent core", 0.5)
    segment_length: int | None = _count("chop texts into segments of so many steps; null runs them whole", None)
    label_smoothing: float = _share("share of the target spread over all classes")
    adversarial: float = _share("default of embedding.adversarial, where the embedding is learned")
    embedding_start: str = _choice("default of embedding.start, where it is learned", EMBEDDING_STARTS, "random")
    class_weights: Any = _setting("null, balanced, or {class: weight, ...}", None)


@dataclass
class Imdb(Classification):
    """Sentiment of the IMDB reviews."""

    data: ImdbData = field(default_factory=ImdbData)


@dataclass
class Reviews(Classification):
    """One's own labelled texts."""

    data: TableData = field(default_factory=TableData)


@dataclass
class Paths:
    """Where things lie; relative to the folder the program is started in."""

    data_dir: str = _setting("corpora, as downloaded or put there")
    cache_dir: str = _setting("prepared texts")
    output_dir: str = _setting("runs")
    run_dir: str | None = _setting("this run's folder; the program sets it", None)


MATMUL_PRECISIONS = ("highest", "high", "medium")
STOP_SIGNALS = ("SIGUSR1", "SIGUSR2", "SIGHUP")


@dataclass
class Checkpoint:
    """last.ckpt, from which a run goes on as if it had never stopped."""

    every_minutes: float = _setting("minutes between two; longer where saving costs over 2 % of the time", 5.0, above=0)
    every_steps: int | None = _count("batches between two, beside the minutes; null for minutes alone", None)
    stop_signal: str = _choice("signal after which the run saves and stops", STOP_SIGNALS, "SIGUSR1")


@dataclass
class Config:
    """The whole configuration."""

    task: Any = MISSING
    model: Model = field(default_factory=Model)
    embedding: Embedding = field(default_factory=Embedding)
    optimizer: Any = MISSING
    scheduler: Any = None
    trainer: Any = MISSING
    callbacks: Any = None
    logger: Any = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    matmul_precision: str = _choice("of float32 products on a GPU; high is TF32", MATMUL_PRECISIONS, "high")
    paths: Paths = field(default_factory=Paths)
    seed: int = _setting("of weights, dropout and the order of the texts", 1, least=0)
    name: str | None = _setting("the run's folder; null for the scheduler's job id, else the time", None)
    resume: str | None = _setting("run to go on with: its folder, or last for the newest of this task and model", None)
    resume_force: bool = _setting("go on although settings differ", False)
    init_from: str | None = _setting("run or checkpoint whose weights to start from, name by name", None)


TASK_SCHEMAS: dict[str, Any] = {"imdb": Imdb, "reviews": Reviews}


def register_schemas() -> None:
    """Makes the schemas known to Hydra: config.yaml extends `schema`, a task its own in the group `schema`."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in TASK_SCHEMAS.items():
        store.store(group="schema", name=name, node=schema)


def schema_name(task: Any) -> str:
    """The name under which a task's schema is registered."""
    return next(name for name, schema in TASK_SCHEMAS.items() if type(task) is schema)


def check_ranges(config: Any, prefix: str = "") -> None:
    """Checks every setting against its range.

    Raises:
        UserError: for the first value out of range; names the key, the value and what was expected.
    """
    for entry in fields(config):
        value, key = getattr(config, entry.name), prefix + entry.name
        if is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif "allowed" in entry.metadata and value is not None:
            allowed: Allowed = entry.metadata["allowed"]
            if not allowed.allows(value):
                raise UserError(f"{key}={value} cannot be used: it must be {allowed.expected()}")
