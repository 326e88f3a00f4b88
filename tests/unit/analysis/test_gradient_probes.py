"""Runs whose gradients cannot be traced are refused before their texts are read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from sluice.analysis.gradient_probes import validation_probe
from sluice.errors import UserError
from sluice.models.regressor import Regressor
from sluice.recurrent import RecurrentStack


def saved_model(network: nn.Module, *, segment_length: int | None = None, **core: bool) -> Any:
    """A SavedModel stub with the attributes that are read."""
    task = SimpleNamespace(name="mine", segment_length=segment_length)
    model = SimpleNamespace(**{"bidirectional": False, "residual": False, **core})
    return SimpleNamespace(path=Path("run/best.ckpt"), network=network, config=SimpleNamespace(task=task, model=model))


def regressor() -> Regressor:
    return Regressor(recurrent=RecurrentStack(cell="gru", input_size=2, hidden_size=3))


@pytest.mark.parametrize(
    ("settings", "steps", "expected"),
    [
        ({"bidirectional": True}, None, "is bidirectional.*train with model.bidirectional=false"),
        ({"segment_length": 5}, None, "resets its state in every segment: train with task.segment_length=null"),
        ({"residual": True}, None, "has residual connections: train with model.residual=false"),
        ({}, 7, "--steps 7 cannot be used: task=mine uses whole sequences"),
    ],
)
def test_unsupported_settings_are_refused(settings: dict[str, Any], steps: int | None, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        validation_probe(saved_model(regressor(), **settings), count=4, steps=steps, data_dir=None)


def test_unsupported_network_is_refused() -> None:
    with pytest.raises(UserError, match="task=mine has no loss at the last step of a single recurrent core"):
        validation_probe(saved_model(nn.Linear(1, 1)), count=4, steps=None, data_dir=None)
