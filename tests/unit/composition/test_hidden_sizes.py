"""model.hidden_size as a list: the number of layers, equal sizes, and what it cannot be combined with."""

import pytest

from running import compose_after
from sluice.composition.compose import checked
from sluice.config.schema import Config
from sluice.errors import UserError


def composed(*overrides: str, task: str = "wikitext2") -> Config:
    return checked(compose_after([f"task={task}"], list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "sizes", "layers"),
    [
        (["model.hidden_size=[8,4,6]"], [8, 4, 6], 3),
        (["model.hidden_size=[8,4,6]", "model.num_layers=3"], [8, 4, 6], 3),
        (["task.recurrent.hidden_size=[8,4,6]"], [8, 4, 6], 3),
        (["task.recurrent.hidden_size=[8,4]", "model.hidden_size=5"], 5, 2),
        (["model.hidden_size=[8,8,8]"], 8, 3),
        (["model.hidden_size=[8]"], 8, 1),
        (["model.hidden_size=8"], 8, 2),
        (["model.hidden_size=${oc.env:UNITS}"], 12, 2),
        (["model.hidden_size=[${oc.env:UNITS},3]"], [12, 3], 2),
    ],
)
def test_a_list_sets_the_number_of_layers(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], sizes: object, layers: int
) -> None:
    monkeypatch.setenv("UNITS", "12")
    model = composed(*overrides).model
    assert (model.hidden_size, model.num_layers) == (sizes, layers)


def test_settings_that_refer_to_num_layers_follow() -> None:
    config = composed("model.hidden_size=[8,4,6]", "task.decoder.num_layers=${model.num_layers}", task="multi30k")
    assert config.task.decoder.num_layers == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.recurrent.hidden_size=[8,4]", "model.num_params=5000"], r"computes one size for all layers .*\[8,4\]"),
        (["task.recurrent.hidden_size=[8,4]", "model.num_layers=3"], r"\[8,4\] cannot be combined with model.num_l"),
        (["model.hidden_size=[8,4]", "model.num_layers=${oc.env:LAYERS}"], "cannot be combined with model.num_layers"),
    ],
)
def test_contradicting_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
) -> None:
    monkeypatch.setenv("LAYERS", "3")
    with pytest.raises(UserError, match=message):
        composed(*overrides)
