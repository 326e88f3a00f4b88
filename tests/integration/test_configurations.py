"""Every file under conf/ composes, is typed, and builds what it describes."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from running import CONF, SAMPLE, chooses_group, compose_after, three_classes
from sluice.callbacks.averaged_weights import AveragedWeights
from sluice.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from sluice.callbacks.training_monitor import TrainingMonitor
from sluice.composition.compose import checked, compose_config
from sluice.composition.given import check_used
from sluice.config.fields import Allowed
from sluice.config.schema import TASK_SCHEMAS, Config, Embedding, Model
from sluice.errors import UserError
from sluice.loggers.csv import CSVLog
from sluice.loggers.tensorboard import TensorBoard
from sluice.modules.base import TaskModule
from sluice.modules.classification import ClassificationModule
from sluice.recipes.registry import recipe_of
from sluice.training.trainer import build_trainer

OPTIONS = {
    group: sorted(file.stem for file in (CONF / group).glob("*.yaml"))
    for group in sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
    if group not in ("hydra", "paths")
}
POINTS = [f"{group}={option}" for group, options in OPTIONS.items() for option in options]
GENERATED = {
    *(
        f"task={task}"
        for task in (
            "temporal_order",
            "pairs",
            "execute",
            "vec2seq",
            "adding",
            "copy",
            "echo",
            "counting",
            "waves",
            "tagging",
        )
    ),
    *(f"experiment={experiment}" for experiment in ("counting", "execute", "lengths", "temporal_order")),
}
"""Choices that generate their data."""
COSTLY = {choice for choice in GENERATED if choice.endswith(("temporal_order", "pairs", "execute", "vec2seq"))}
FEW = tuple(f"task.data.{split}=200" for split in ("size", "val_size", "test_size"))
POINTS.remove("model=none")  # only task=word2vec accepts it


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small data files and a cache shared by these tests."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "data").mkdir()
    three_classes(folder / "mine.csv")
    (folder / "mine.tsv").write_text("a b c\tx y z\nb a c\ty x z\n" * 40, encoding="utf-8")
    (folder / "mine.txt").write_text("a b c d e f g h\n" * 400, encoding="utf-8")
    return folder


def composed(home: Path, *overrides: str) -> Config:
    """The typed configuration on small local data."""
    own = {"task=reviews": home / "mine.csv", "task=corpus": home / "mine.txt", "task=parallel": home / "mine.tsv"}
    if "embedding=pretrained" in overrides:
        (home / "vectors.txt").write_text("film " + "0.5 " * 100 + "\n", encoding="utf-8")
        overrides = (*overrides, f"embedding.path={home / 'vectors.txt'}")
    texts = next(((f"task.data.path={path}",) for task, path in own.items() if task in overrides), SAMPLE)
    if set(overrides) & GENERATED:
        texts = FEW if set(overrides) & COSTLY else ()
    paths = [f"paths.{name}_dir={home / name}" for name in ("data", "cache", "output")]
    groups = [override for override in overrides if chooses_group(override)]
    settings = [override for override in overrides if not chooses_group(override)]
    return checked(compose_after(groups, [*texts, *paths, f"paths.run_dir={home / 'run'}", *settings]))


def built_on_data(config: Config) -> tuple[Any, pl.Trainer, Any]:
    """The LightningModule, the Trainer, on the CPU, and the DataModule."""
    config.trainer |= {"accelerator": "cpu"}
    recipe = recipe_of(config)
    data = recipe.build_data(config, recipe.find_corpus(config))
    last = LastCheckpoint(run_dir=str(config.paths.run_dir))
    trainer = build_trainer(config, recipe.callbacks(config, data), TrainingMonitor(), last)
    return recipe.build_module(config, data), trainer, data


def built(config: Config) -> tuple[Any, pl.Trainer]:
    """The LightningModule and the Trainer."""
    return built_on_data(config)[:2]


def optimizers_of(task: TaskModule, steps: int) -> Any:
    """The result of `configure_optimizers` for a number of training steps."""
    task.trainer = SimpleNamespace(estimated_stepping_batches=steps)  # type: ignore[assignment]
    return task.configure_optimizers()


def test_missing_mandatory_setting_is_reported() -> None:
    files = {file: file.read_text(encoding="utf-8").splitlines() for file in CONF.rglob("*.yaml")}
    left_open = [
        (file, line.split(":")[0]) for file, lines in files.items() for line in lines if line.endswith(": ???")
    ]
    assert left_open
    for file, name in left_open:
        key = f"{file.parent.name}.{name}"
        with pytest.raises(UserError, match=f"{key} is not set: give it as {key}="):
            checked(compose_config([f"{file.parent.name}={file.stem}"], CONF))


def test_every_group_has_options() -> None:
    expected = "callbacks debug embedding experiment hparams_search logger model optimizer scheduler task trainer"
    assert list(OPTIONS) == expected.split()
    assert all(OPTIONS.values())
    assert {"rnn", "rnn_relu", "gru", "lstm"} <= set(OPTIONS["model"])
    assert {"learned", "onehot", "index"} <= set(OPTIONS["embedding"])
    assert set(TASK_SCHEMAS) == set(OPTIONS["task"])


PACKAGES = {
    "logger=mlflow": ("mlflow", "sqlalchemy"),
    "logger=wandb": ("wandb",),
    "logger=many": ("mlflow", "sqlalchemy", "wandb"),
    "hparams_search=optuna": ("optuna",),
}
"""Optional packages that an option needs."""
PLAIN_GROUPS = ("task", "model", "experiment")
"""Groups whose options are all tested by plain pytest; those of other groups with `-m slow`."""


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=[] if point.startswith(PLAIN_GROUPS) else [pytest.mark.slow], id=point)
        for point in POINTS
    ],
)
def test_option_composes_and_builds(home: Path, point: str) -> None:
    for package in PACKAGES.get(point, ()):
        pytest.importorskip(package)
    few = ("task.data.batch_size=2", "model.hidden_size=8", "embedding.size=8") if "awd_lstm" in point else ()
    task, trainer, data = built_on_data(composed(home, point, *few))
    made = task.model_step(next(iter(data.train_dataloader())), "train")
    assert (made[0] if isinstance(made, tuple) else made).isfinite()
    optimizers = optimizers_of(task, steps=10)
    optimizer = optimizers["optimizer"] if isinstance(optimizers, dict) else optimizers
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(task.parameters())) > 0
    kinds = {type(callback) for callback in trainer.callbacks}
    assert {TrainingMonitor, BestCheckpoint, LastCheckpoint} <= kinds


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("rmsprop", "RMSprop"), ("sgd", "SGD")]
)
def test_optimizer_class_and_lr_match_the_config(home: Path, name: str, kind: str) -> None:
    task, _ = built(composed(home, f"optimizer={name}", "scheduler=constant", "optimizer.lr=0.25"))
    optimizer = optimizers_of(task, steps=10)
    assert type(optimizer).__name__ == kind
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize(
    ("name", "kind", "interval"),
    [
        ("one_cycle", "OneCycleLR", "step"),
        ("cosine", "CosineAnnealingLR", "step"),
        ("plateau", "ReduceLROnPlateau", "epoch"),
    ],
)
def test_scheduler_class_interval_and_monitor(home: Path, name: str, kind: str, interval: str) -> None:
    task, _ = built(composed(home, f"scheduler={name}", "task.monitor=val/f1"))
    schedule = optimizers_of(task, steps=10)["lr_scheduler"]
    assert type(schedule["scheduler"]).__name__ == kind
    assert (schedule["interval"], schedule["monitor"]) == (interval, "val/f1")


def test_default_loggers_and_callbacks_are_built(home: Path) -> None:
    _, trainer = built(composed(home, "task.monitor=val/loss", "task.mode=min"))
    assert [type(logger) for logger in trainer.loggers] == [TensorBoard, CSVLog]
    (stopping,) = trainer.early_stopping_callbacks
    assert isinstance(stopping, EarlyStopping)
    assert (stopping.monitor, stopping.mode) == ("val/loss", "min")
    (best,) = trainer.checkpoint_callbacks
    assert (best.monitor, best.mode) == ("val/loss", "min")


def test_only_nt_asgd_averages_weights(home: Path) -> None:
    def averaged(*overrides: str) -> list[bool]:
        return [isinstance(callback, AveragedWeights) for callback in built(composed(home, *overrides))[1].callbacks]

    assert averaged("optimizer=nt_asgd", "callbacks=last_epochs")[-1], "after the checkpoints"
    assert not any(averaged("optimizer=sgd"))


def test_none_disables_loggers_and_callbacks(home: Path) -> None:
    _, trainer = built(composed(home, "logger=none", "callbacks=none"))
    assert trainer.loggers == []
    assert trainer.early_stopping_callbacks == []


def test_trainer_max_epochs_overrides_task_max_epochs(home: Path) -> None:
    assert built(composed(home, "task.max_epochs=7"))[1].max_epochs == 7
    assert built(composed(home, "task.max_epochs=7", "trainer.max_epochs=3"))[1].max_epochs == 3


def test_model_settings_override_task_recurrent_defaults(home: Path) -> None:
    task, _ = built(composed(home, "task.recurrent.hidden_size=3"))
    assert task.network.recurrent.output_size == 6, "two directions"
    task, _ = built(composed(home, "task.recurrent.hidden_size=3", "model.hidden_size=5", "model.bidirectional=false"))
    assert task.network.recurrent.output_size == 5


def test_model_is_named_after_its_cell(home: Path) -> None:
    assert [composed(home, given).model.name for given in ("model=rnn_relu", "model.cell=gru")] == ["rnn_relu", "gru"]
    assert composed(home, "model.cell=gru", "model.name=mine").model.name == "mine"


DATA = ("batch_size=7", "max_tokens=999", "max_length=77", "truncation=tail", "num_workers=2")


def test_data_settings_reach_the_datamodule(home: Path) -> None:
    config = composed(home, "seed=9", *(f"task.data.{setting}" for setting in DATA))
    recipe = recipe_of(config)
    data = recipe.build_data(config, recipe.find_corpus(config))
    assert [f"{key}={getattr(data, key)}" for key in (setting.split("=")[0] for setting in DATA)] == list(DATA)
    assert data.seed == 9


def test_loss_settings_reach_the_module(home: Path) -> None:
    task, _ = built(composed(home, "task.label_smoothing=0.25", "task.class_weights={pos: 3, neg: 0.5}"))
    assert isinstance(task, ClassificationModule)
    assert (task.label_smoothing, task.class_weights) == (0.25, [0.5, 3.0])


def test_initial_std_is_that_of_the_target_in_translation(home: Path) -> None:
    given = [
        "task=parallel",
        f"task.data.path={home / 'mine.tsv'}",
        "embedding.path=x.txt",
        "embedding.initial_std=0.05",
    ]
    check_used(compose_config(given, CONF), given)
    with pytest.raises(UserError, match=r"embedding.initial_std=0.05 has no effect with embedding.path=x.txt"):
        check_used(compose_config(given[2:], CONF), given[2:])


@pytest.mark.parametrize("given", ["embedding=onehot", "embedding.size=7"])
def test_embedding_of_numbers_is_warned_of(caplog: pytest.LogCaptureFixture, given: str) -> None:
    check_used(compose_config(["task=adding", given], CONF), [given])
    assert f"{given} has no effect with task.name=adding: leave it out" in caplog.text


@pytest.mark.parametrize(
    ("given", "unused"),
    [
        (["optimizer.momentum=0.5"], True),
        (["optimizer.momentum=0"], False),
        (["optimizer.momentum=0.5", "scheduler=constant"], False),
    ],
    ids=str,
)
def test_momentum_of_one_cycle_is_warned_of(caplog: pytest.LogCaptureFixture, given: list[str], unused: bool) -> None:
    overrides = ["task=adding", "optimizer=sgd", *given]
    check_used(compose_config(overrides, CONF), overrides)
    assert ("optimizer.momentum=0.5 has no effect with scheduler=one_cycle" in caplog.text) is unused


NO_DROPOUT = ("model.input_dropout=0", "task.output_dropout=0")


@pytest.mark.parametrize(
    "dropout",
    [("model.input_dropout=0.1",), ("model.dropout=0.3", "task.decoder.num_layers=2"), ("task.memory_dropout=0.3",)],
    ids=str,
)
def test_r_drop_reaches_the_module(home: Path, dropout: tuple[str, ...]) -> None:
    config = composed(home, "task=parallel", "task.r_drop=5", *NO_DROPOUT, *dropout)
    assert built(config)[0].r_drop == 5


@pytest.mark.parametrize(
    "dropout",
    [("model.dropout=0.3",), ("task.memory_dropout=0.3", "task.attention=none"), ("model.weight_dropout=0.5",)],
    ids=str,
)
def test_r_drop_needs_dropout(home: Path, dropout: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="without dropout both predictions are equal"):
        composed(home, "task=parallel", "task.r_drop=5", *NO_DROPOUT, *dropout)


def test_network_settings_reach_the_network(home: Path) -> None:
    rates = ("model.dropout=0.1", "model.input_dropout=0.2", "task.output_dropout=0.3", "embedding.word_dropout=0.4")
    shape = ("model.num_layers=3", "model.initial_state=learned", "task.pooling=mean", "task.segment_length=11")
    network: Any = built(composed(home, *rates, *shape))[0].network
    dropouts = (network.recurrent.dropout.p, network.input_dropout.p, network.output_dropout.p)
    assert (*dropouts, network.embedding.word_dropout) == (0.1, 0.2, 0.3, 0.4)
    assert len(network.recurrent.cells) == 6
    assert any("initial" in name for name, _ in network.named_parameters())
    assert type(network.pooling).__name__ == "MeanPooling"
    assert network.segment_length == 11
    assert network.ngrams is None


def test_ngram_settings_reach_the_network_and_its_ratios(home: Path) -> None:
    ngrams: Any = built(composed(home, "task.ngrams.max_n=3", "task.ngrams.buckets=99"))[0].network.ngrams
    assert (ngrams.max_n, ngrams.buckets, len(ngrams.ratios)) == (3, 99, ngrams.vocab_size + 99)
    assert ngrams.ratios.any()


def test_debug_overrides_experiment(home: Path) -> None:
    for experiment in OPTIONS["experiment"]:
        config = composed(home, f"experiment={experiment}", "debug=fast")
        assert (config.trainer["max_epochs"], config.trainer["limit_train_batches"]) == (1, 3)


REQUIRED = {
    "embedding.kind=index": ("embedding=index",),
    "embedding.kind=onehot": ("embedding=onehot",),
    "task.head=adaptive": ("task.cutoffs=[5,9]",),
    "task.tie_weights=all": ("task.text.joint=true",),
    "task.text.unit=subwords": ("task.text.subword_size=350",),
    "task.text.subwords=unigram": ("task.text.unit=subwords", "task.text.subword_size=350"),
}
"""Settings that some choices require."""
NEEDING_FILES = ("task.data.source", "task.data.corpus", "task.bleu_tokenizer")


def choices_of(config: Any, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """(key, [KEY=VALUE, ...]) of every setting with choices."""
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            yield from choices_of(value, f"{prefix}{entry.name}.")
        elif entry.metadata.get("allowed", Allowed()).choices:
            written = "{}=[{}]" if isinstance(value, list) else "{}={}"
            key = prefix + entry.name
            yield key, [written.format(key, choice) for choice in entry.metadata["allowed"].choices]


def every_choice() -> list[Any]:
    """(task, KEY=VALUE) for each value of each setting with choices; settings shared by tasks are listed once.

    The first and the last choice of a setting are tested by plain pytest, the others with `-m slow`.
    """
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for task, schema in TASK_SCHEMAS.items():
        for key, settings in choices_of(schema(), "task."):
            if key not in NEEDING_FILES:
                found.setdefault(tuple(settings), [(task, setting) for setting in settings])
    for group, schema in (("model", Model), ("embedding", Embedding)):
        for _, settings in choices_of(schema(), f"{group}."):
            found[tuple(settings)] = [("reviews", setting) for setting in settings]
    return [
        pytest.param(*choice, marks=[pytest.mark.slow] if 0 < index < len(choices) - 1 else [])
        for choices in found.values()
        for index, choice in enumerate(choices)
    ]


@pytest.mark.parametrize(("task", "setting"), every_choice())
def test_every_choice_composes_and_builds(home: Path, task: str, setting: str) -> None:
    assert built(composed(home, f"task={task}", setting, *REQUIRED.get(setting, ())))
