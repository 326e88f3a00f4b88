"""The configuration of a checkpoint is restored without OmegaConf, as strictly."""

from copy import deepcopy
from dataclasses import asdict
from typing import Any

import pytest
from omegaconf import OmegaConf

from running import compose_quickly
from sluice.composition.compose import checked
from sluice.config.schema import TASK_SCHEMAS
from sluice.config.stored import restored
from sluice.errors import UserError
from sluice.training.stored_settings import with_schema


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return asdict(checked(compose_quickly(["task=imdb"])))


@pytest.mark.parametrize("task", ["multi30k", "word2vec"])
def test_restored_equals_the_saved_configuration(task: str) -> None:
    saved = asdict(checked(compose_quickly([f"task={task}"])))
    config = restored(deepcopy(saved), task)
    assert asdict(config) == saved
    assert type(config.task) is TASK_SCHEMAS[task]
    assert config == OmegaConf.to_object(with_schema(deepcopy(saved), task))


def test_settings_of_later_versions_have_their_defaults(plain: dict[str, Any]) -> None:
    saved = deepcopy(plain)
    del saved["model"]["hidden_size"], saved["stop_on_nan"], saved["embedding"]["size"]
    saved["task"]["recurrent"]["hidden_size"] = 31
    config = restored(deepcopy(saved), "imdb")
    assert (config.model.hidden_size, config.stop_on_nan) == (31, True)
    assert config.embedding.size == config.task.embedding.size
    assert config == OmegaConf.to_object(with_schema(saved, "imdb"))


def change(saved: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    *groups, last = key.split(".")
    section = saved = deepcopy(saved)
    for group in groups:
        section = section[group]
    section[last] = value
    return saved


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.num_layers", "two", "model.num_layers=two must be of type int"),
        ("model.num_layers", 1.5, "model.num_layers=1.5 must be of type int"),
        ("model.num_layers", True, "model.num_layers=true must be of type int"),
        ("model.num_layers", None, "model.num_layers=null must be of type int"),
        ("model.bidirectional", "maybe", "model.bidirectional=maybe must be of type bool"),
        ("model.dropout", "much", "model.dropout=much must be of type float"),
        ("model.cell", ["lstm"], r"model.cell=\[lstm\] must be of type str"),
        ("model", [1], r"model must be a group of settings, got \[1\]"),
        ("model.nothing", 1, "there is no setting model.nothing"),
        ("task.data.nothing", 1, "there is no setting task.data.nothing"),
        ("trainer", 3, "trainer=3 must be of type"),
    ],
)
def test_other_types_and_unknown_settings_are_refused(
    plain: dict[str, Any], key: str, value: object, message: str
) -> None:
    with pytest.raises(UserError, match=f"does not fit this version of Sluice: {message}"):
        restored(change(plain, key, value), "imdb")


def test_unknown_task_and_missing_values_are_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="unknown task 'poetry': expected one of imdb"):
        restored(deepcopy(plain), "poetry")
    saved = deepcopy(plain)
    del saved["model"]["cell"]
    with pytest.raises(UserError, match=r"the setting model\.cell is missing"):
        restored(saved, "imdb")


def test_whole_numbers_are_floats_where_declared(plain: dict[str, Any]) -> None:
    config = restored(change(plain, "model.forget_bias", 2), "imdb")
    assert (config.model.forget_bias, type(config.model.forget_bias)) == (2.0, float)
