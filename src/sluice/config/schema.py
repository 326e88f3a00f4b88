"""The schema of the configuration: type, default, description and range of each setting.

The groups `optimizer`, `scheduler`, `trainer`, `callbacks` and `logger` have no schema: they take the arguments of the
class that `_target_` names.
"""

from dataclasses import dataclass, field
from functools import cache

from sluice.config.common import Embedding, Model, TaskSettings
from sluice.config.fields import MISSING, Settings, check_ranges, choice, count, setting
from sluice.config.tasks.classification import Imdb, Reviews
from sluice.config.tasks.generated_pairs import Execute, VectorToSequence
from sluice.config.tasks.language import ImdbReviews, OwnCorpus, PennTreebank, WikiText2
from sluice.config.tasks.pairs import Pairs
from sluice.config.tasks.sequences import Adding, Copy, Counting, Echo, Tagging, TemporalOrder, Waves
from sluice.config.tasks.translation import Multi30k, Parallel
from sluice.config.tasks.word2vec import Word2Vec
from sluice.config.user_code import load_installed_recipes
from sluice.plain import Plain

__all__ = ["TASK_SCHEMAS", "Config", "check_ranges", "find_schema", "register_schemas", "register_task", "schema_name"]


@dataclass
class Paths(Settings):
    """Folders, relative to the working directory."""

    data_dir: str = setting("corpora")
    cache_dir: str = setting("preprocessed corpora")
    output_dir: str = setting("run folders")
    run_dir: str | None = setting("folder of this run, set by the program", None)


MATMUL_PRECISIONS = ("highest", "high", "medium")
STOP_SIGNALS = ("SIGUSR1", "SIGUSR2", "SIGHUP")


@dataclass
class Checkpoint(Settings):
    """Saving of last.ckpt; a run that is resumed from it continues exactly where it stopped."""

    every_minutes: float = setting(
        "minutes between two checkpoints; longer if saving takes more than 2 % of the time", 5.0, above=0
    )
    every_steps: int | None = count("also save after this many optimizer steps; null for minutes only", None)
    stop_signal: str = choice("signal that makes the run save and stop", STOP_SIGNALS, "SIGUSR1")


@dataclass
class Config(Settings):
    """The whole configuration."""

    task: TaskSettings = MISSING  # type: ignore[assignment]
    model: Model = field(default_factory=Model)
    embedding: Embedding = field(default_factory=Embedding)
    optimizer: Plain = MISSING  # type: ignore[assignment]
    scheduler: Plain | None = None
    trainer: Plain = MISSING  # type: ignore[assignment]
    callbacks: Plain | None = None
    logger: Plain | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    stop_on_nan: bool = setting(
        "stop if the training loss, validation loss or monitored metric is NaN or infinite", True
    )
    matmul_precision: str = choice(
        "precision of float32 matrix products on a GPU; high is TF32", MATMUL_PRECISIONS, "high"
    )
    paths: Paths = field(default_factory=Paths)
    seed: int = setting("seed of initialisation, dropout and shuffling", 1, least=0, most=2**32 - 1)
    name: str | None = setting(
        "name of the run folder; null for the SLURM job id, else the time and a random suffix", None
    )
    resume: str | None = setting("run to resume: its folder, or last for the newest run of this task and model", None)
    resume_force: bool = setting("resume even if settings differ", False)
    debug: str | None = setting("set by the options of the group debug", None)
    init_from: str | None = setting("run or checkpoint from which weights of the same name and shape are loaded", None)


TASK_SCHEMAS: dict[str, type[TaskSettings]] = {
    "imdb": Imdb,
    "reviews": Reviews,
    "wikitext2": WikiText2,
    "imdb_lm": ImdbReviews,
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
    """Registers the schemas with Hydra: `schema` for config.yaml, `schema/NAME` for the task of that name."""
    from hydra.core.config_store import ConfigStore

    load_installed_recipes()
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in TASK_SCHEMAS.items():
        store.store(group="schema", name=name, node=schema)


def register_task(name: str, schema: type[TaskSettings]) -> None:
    """Registers the settings of a custom task, `/schema/NAME` in its YAML file."""
    TASK_SCHEMAS[name] = schema
    if register_schemas.cache_info().currsize:  # later, register_schemas does it; inference needs no Hydra
        from hydra.core.config_store import ConfigStore

        ConfigStore.instance().store(group="schema", name=name, node=schema)


def find_schema(name: str) -> type[TaskSettings] | None:
    """The schema of a task, including tasks of installed packages; None if there is no such task."""
    if name not in TASK_SCHEMAS:
        load_installed_recipes()
    return TASK_SCHEMAS.get(name)


def schema_name(task: TaskSettings) -> str:
    """The name under which a task's schema is registered."""
    return next(name for name, schema in TASK_SCHEMAS.items() if type(task) is schema)
