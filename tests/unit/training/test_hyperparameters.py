"""The settings in TensorBoard's table of runs."""

import pytest

from running import compose_quickly
from sluice.composition.compose import checked
from sluice.config.schema import Config
from sluice.training.hyperparameters import all_settings, varied_settings


def config_of(*overrides: str) -> Config:
    return checked(compose_quickly(overrides))


def test_settings_that_vary_most_come_first() -> None:
    found = varied_settings(config_of("task=imdb", "model=gru", "model.hidden_size=32", "optimizer.lr=0.003", "seed=7"))
    expected = {
        "1 task": "imdb",
        "2 model": "gru",
        "3 seed": 7,
        "4 optimizer.lr": 0.003,
        "5 model.hidden_size": 32,
        "6 model.num_layers": 1,
        "7 embedding.kind": "learned",
        "8 embedding.size": 100,
        "9 task.data.batch_size": 64,
        "optimizer": "AdamW",
        "scheduler": "one_cycle",
    }
    assert list(found.items())[:11] == list(expected.items())
    assert sorted(found)[:9] == list(found)[:9], "TensorBoard sorts them by name"
    assert found["task.pooling"] == "max_mean"
    assert found["model.dropout"] == 0.0


@pytest.mark.parametrize("task", ["temporal_order", "multi30k", "word2vec"])
def test_constants_are_left_out(task: str) -> None:
    config = config_of(f"task={task}", "embedding=learned")
    found, everything = varied_settings(config), all_settings(config)
    assert not [name for name in found if name.startswith(("checkpoint", "task.recurrent", "task.embedding"))]
    constants = {"task.monitor", "task.mode", "stop_on_nan", "matmul_precision", "optimizer._partial_", "model.cell"}
    assert constants & set(everything)
    assert not constants & set(found)
    assert all(isinstance(value, str | int | float | list) for value in found.values()), "no null"


def test_settings_of_vectors_are_left_out_without_vectors() -> None:
    found = varied_settings(config_of("task=temporal_order", "embedding=onehot"))
    assert [name for name in found if "embedding." in name] == ["7 embedding.kind"]


@pytest.mark.parametrize(
    ("replacing", "replaced"),
    [
        ("model.num_params=5000", ("model.hidden_size", "5 model.hidden_size")),
        ("task.data.global_batch_size=64", ("task.data.batch_size", "9 task.data.batch_size")),
    ],
)
def test_replaced_settings_are_left_out(replacing: str, replaced: tuple[str, str]) -> None:
    name, _, value = replacing.partition("=")
    config = config_of("task=imdb", replacing)
    for found in (varied_settings(config), all_settings(config)):
        assert found[name] == int(value)
        assert not set(replaced) & set(found)
    assert replaced[1] in varied_settings(config_of("task=imdb"))
