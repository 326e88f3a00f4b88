"""Every setting that has a type: its default, its meaning and its range. Unknown keys and wrong values stop here.

The groups `optimizer`, `scheduler`, `trainer`, `callbacks` and `logger` take what their `_target_` takes.
"""

from dataclasses import dataclass, field
from functools import cache

from omegaconf import MISSING

from sluice.config.common import Embedding, Model, TaskSettings
from sluice.config.fields import Settings, check_ranges, choice, count, setting
from sluice.config.tasks.classification import Imdb, Reviews
from sluice.config.tasks.generated_pairs import Execute, VectorToSequence
from sluice.config.tasks.language import OwnCorpus, PennTreebank, WikiText2
from sluice.config.tasks.pairs import Pairs
from sluice.config.tasks.sequences import Adding, Copy, Counting, Echo, Tagging, TemporalOrder, Waves
from sluice.config.tasks.translation import Multi30k, Parallel
from sluice.config.tasks.word2vec import Word2Vec
from sluice.config.user_code import load_installed_recipes
from sluice.plain import Plain

__all__ = ["TASK_SCHEMAS", "Config", "check_ranges", "find_schema", "register_schemas", "register_task", "schema_name"]


@dataclass
class Paths(Settings):
    """Where things lie; relative to the folder the program is started in."""

    data_dir: str = setting("corpora, as downloaded or put there")
    cache_dir: str = setting("prepared texts")
    output_dir: str = setting("runs")
    run_dir: str | None = setting("this run's folder; the program sets it", None)


MATMUL_PRECISIONS = ("highest", "high", "medium")
STOP_SIGNALS = ("SIGUSR1", "SIGUSR2", "SIGHUP")


@dataclass
class Checkpoint(Settings):
    """last.ckpt, from which a run goes on as if it had never stopped."""

    every_minutes: float = setting("minutes between two; longer where saving costs over 2 % of the time", 5.0, above=0)
    every_steps: int | None = count("batches between two, beside the minutes; null for minutes alone", None)
    stop_signal: str = choice("signal after which the run saves and stops", STOP_SIGNALS, "SIGUSR1")


@dataclass
class Config(Settings):
    """The whole configuration."""

    task: TaskSettings = MISSING
    model: Model = field(default_factory=Model)
    embedding: Embedding = field(default_factory=Embedding)
    optimizer: Plain = MISSING
    scheduler: Plain | None = None
    trainer: Plain = MISSING
    callbacks: Plain | None = None
    logger: Plain | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    stop_on_nan: bool = setting("stop where the training loss is NaN or infinite", True)
    matmul_precision: str = choice("of float32 products on a GPU; high is TF32", MATMUL_PRECISIONS, "high")
    paths: Paths = field(default_factory=Paths)
    seed: int = setting("of weights, dropout and the order of the texts", 1, least=0)
    name: str | None = setting("the run's folder; null for the scheduler's job id, else the time", None)
    resume: str | None = setting("run to go on with: its folder, or last for the newest of this task and model", None)
    resume_force: bool = setting("go on although settings differ", False)
    debug: str | None = setting("which shortened run this is; the options of the group debug set it", None)
    init_from: str | None = setting("run or checkpoint whose weights to start from, name by name", None)


TASK_SCHEMAS: dict[str, type[TaskSettings]] = {
    "imdb": Imdb,
    "reviews": Reviews,
    "wikitext2": WikiText2,
    "ptb": PennTreebank,
    "corpus": OwnCorpus,
    "multi30k": Multi30k,
    "parallel": Parallel,
    "temporal_order": TemporalOrder,
    "adding": Adding,
    "copy": Copy,
    "echo": Echo,
    "counting": Counting,
    "waves": Waves,
    "tagging": Tagging,
    "execute": Execute,
    "vec2seq": VectorToSequence,
    "word2vec": Word2Vec,
    "pairs": Pairs,
}


@cache
def register_schemas() -> None:
    """Makes the schemas known to Hydra, once: config.yaml extends `schema`, a task its own in the group `schema`."""
    from hydra.core.config_store import ConfigStore

    load_installed_recipes()
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in TASK_SCHEMAS.items():
        store.store(group="schema", name=name, node=schema)


def register_task(name: str, schema: type[TaskSettings]) -> None:
    """Adds the settings of a task from outside Sluice: `/schema/NAME` for its YAML."""
    from hydra.core.config_store import ConfigStore

    TASK_SCHEMAS[name] = schema
    ConfigStore.instance().store(group="schema", name=name, node=schema)


def find_schema(name: str) -> type[TaskSettings] | None:
    """The settings of a task, also of an installed one; None if there is no such task."""
    if name not in TASK_SCHEMAS:
        load_installed_recipes()
    return TASK_SCHEMAS.get(name)


def schema_name(task: TaskSettings) -> str:
    """The name under which a task's schema is registered."""
    return next(name for name, schema in TASK_SCHEMAS.items() if type(task) is schema)
