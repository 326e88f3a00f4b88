"""Ranges of settings."""

from dataclasses import FrozenInstanceError

import pytest

from sluice.config.common import Model
from sluice.config.fields import Allowed, check_ranges, freeze
from sluice.config.tasks.classification import Text
from sluice.errors import UserError


@pytest.mark.parametrize(
    ("allowed", "good", "bad", "words"),
    [
        (Allowed(least=1), [1, 5], [0, -1], "at least 1"),
        (Allowed(least=0, below=1), [0, 0.99], [1, 1.5, -0.1, float("nan")], "at least 0 and below 1"),
        (Allowed(above=0, below=1), [0.1], [0, 1], "above 0 and below 1"),
        (Allowed(choices=("head", "tail")), ["head"], ["middle", ""], "one of head, tail"),
    ],
)
def test_allowed_values_match_the_description(
    allowed: Allowed, good: list[object], bad: list[object], words: str
) -> None:
    assert all(allowed.allows(value) for value in good)
    assert not any(allowed.allows(value) for value in bad)
    assert allowed.expected() == words


def test_first_invalid_value_is_reported_with_its_key() -> None:
    model = Model(name="a", cell="lstm", hidden_size=3, num_layers=1, bidirectional=False, dropout=0, input_dropout=2)
    with pytest.raises(UserError, match=r"model.input_dropout=2 cannot be used: it must be at least 0 and below 1"):
        check_ranges(model, "model.")


def test_null_is_allowed_for_optional_settings() -> None:
    check_ranges(Text(max_size=None))
    with pytest.raises(UserError, match="max_size=0"):
        check_ranges(Text(max_size=0))


def test_frozen_config_cannot_be_changed() -> None:
    settings = Text()
    settings.min_freq = 3
    freeze(settings)
    with pytest.raises(FrozenInstanceError, match=r"Text\.min_freq cannot be set: the configuration is complete"):
        settings.min_freq = 4
    assert settings.min_freq == 3
