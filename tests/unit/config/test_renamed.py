"""Names of earlier versions: refused with the new name, and understood in stored runs."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from running import compose_after
from sluice.composition.compose import checked, compose_config, flat
from sluice.composition.given import check_given
from sluice.config.common import TaskSettings
from sluice.config.fields import Settings
from sluice.config.renamed import (
    RENAMED_OPTIONS,
    RENAMED_SETTINGS,
    explain_old_name,
    update_overrides,
    update_settings,
)
from sluice.config.schema import TASK_SCHEMAS, Config
from sluice.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"


def dotted_names() -> set[str]:
    """Every setting of every task, by its dotted name, and of every option of scheduler and callbacks."""
    found: set[str] = set()
    for choice in (*(f"task={task}" for task in TASK_SCHEMAS), "callbacks=last_epochs"):
        found |= set(flat(_plain(compose_after([choice], []))))
    return found | {name.rpartition(".")[0] for name in found}


def _plain(config: object) -> dict[str, object]:
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def test_old_names_are_gone_and_new_ones_exist() -> None:
    names = dotted_names()
    assert not names & set(RENAMED_SETTINGS)
    assert set(RENAMED_SETTINGS.values()) <= names


@pytest.mark.parametrize("prefix", ["", "+"])
@pytest.mark.parametrize("old", RENAMED_SETTINGS)
def test_old_name_is_refused_with_the_new_one(old: str, prefix: str) -> None:
    if prefix and old.split(".")[0] in ("scheduler", "callbacks"):
        pytest.skip("these groups take what is added")
    task = {"cache": "wikitext2", "decoding": "multi30k"}.get(old.split(".")[1], "imdb")
    with pytest.raises(UserError, match=f"it is now called {RENAMED_SETTINGS[old]}"):
        checked(compose_after([f"task={task}"], [f"{prefix}{old}=1"]))


def test_documents_use_the_new_names() -> None:
    files = [CONF.parent / "README.md", *(CONF.parent / "docs").glob("*.md"), *CONF.rglob("*.yaml")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    old = [*RENAMED_SETTINGS, *RENAMED_OPTIONS]
    assert [name for name in old if re.search(rf"\b{re.escape(name)}(?!\w)", text)] == []


def test_old_option_is_refused_with_the_new_one() -> None:
    for old, new in RENAMED_OPTIONS.items():
        with pytest.raises(UserError, match=f"it is now called {new}"):
            compose_config([old], CONF)


def test_removed_setting_is_refused_with_the_reason() -> None:
    assert "always unidirectional" in str(explain_old_name("task.decoder.bidirectional"))


def test_other_unknown_settings_have_no_new_name() -> None:
    assert explain_old_name("model.cells") is None
    assert explain_old_name("task.tiedness") is None


def test_stored_settings_get_new_names_values_and_classes() -> None:
    stored = {
        "task": {
            "tied": False,
            "decoder": {"bidirectional": False, "cell": "gru"},
            "data": {"batch_size": 32, "split_batch": True, "validation_share": 0.2},
        },
        "model": {"budget": 100, "cell": "lstm"},
        "callbacks": {"recent": {"_target_": "sluice.callbacks.recent_weights.RecentWeights", "count": 3}},
    }
    assert update_settings(stored) == {
        "task": {
            "tie_weights": "none",
            "decoder": {"cell": "gru"},
            "data": {"batch_size": 32, "global_batch_size": 32, "validation_fraction": 0.2},
        },
        "model": {"num_params": 100, "cell": "lstm"},
        "callbacks": {"last_epochs": {"_target_": "sluice.callbacks.last_epochs.LastEpochs", "count": 3}},
    }


def test_settings_of_a_custom_task_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Data(Settings):
        longest: int = 3

    @dataclass
    class Custom(TaskSettings):
        data: Data = field(default_factory=Data)

    Custom.__module__ = "majority"
    monkeypatch.setitem(TASK_SCHEMAS, "majority", Custom)
    stored = {"task": {"name": "majority", "data": {"longest": 5}}, "model": {"budget": 9}}
    assert update_settings(stored) == {**stored, "model": {"num_params": 9}}
    overrides = ["task=majority", "task.data.longest=5"]
    assert update_overrides([*overrides, "model.budget=9"]) == [*overrides, "model.num_params=9"]


def test_split_batch_false_gives_no_global_batch_size() -> None:
    stored = {"task": {"tie": "target", "data": {"batch_size": 32, "split_batch": False}}}
    data = {"batch_size": 32, "global_batch_size": None}
    assert update_settings(stored) == {"task": {"tie_weights": "output", "data": data}}


def test_stored_overrides_get_new_names_and_values() -> None:
    assert update_overrides(["task=multi30k", "model.budget=100", "task.tie=target", "callbacks=recent"]) == [
        *("task=multi30k", "model.num_params=100", "task.tie_weights=output", "callbacks=last_epochs")
    ]
    assert update_overrides(["task.tied=false", "+callbacks.recent.count=3", "seed=2"]) == [
        *("task.tie_weights=none", "+callbacks.last_epochs.count=3", "seed=2")
    ]


def test_stored_split_batch_becomes_global_batch_size() -> None:
    assert update_overrides(["task.data.batch_size=8", "task.data.split_batch=true"]) == [
        "task.data.global_batch_size=8"
    ]
    (line,) = update_overrides(["task.data.split_batch=true"])
    assert (
        compose_config([line], CONF).task.data.global_batch_size
        == Config(task=TASK_SCHEMAS["imdb"]()).task.data.batch_size
    )  # type: ignore[attr-defined]
    assert update_overrides(["task.data.split_batch=false"]) == []


def test_batch_size_excludes_global_batch_size() -> None:
    with pytest.raises(UserError, match=r"global_batch_size=8 exclude each other: set one of them"):
        compose_config(["task.data.batch_size=4", "task.data.global_batch_size=8"], CONF)
    config = compose_config(["task.data.global_batch_size=8"], CONF)
    check_given(config, [])
    with pytest.raises(UserError, match="exclude each other"):
        check_given(config, ["task.data.batch_size=8"])
