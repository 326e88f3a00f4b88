"""Comparison of the training length with that of a checkpoint."""

from typing import Any

import pytest

from sluice.optim.changed_settings import length_differs


def checkpoint_settings(max_epochs: int, **more: Any) -> dict[str, Any]:
    return {"config": {"trainer": {"max_epochs": max_epochs, "max_steps": -1}}, **more}


@pytest.mark.parametrize(
    ("before", "total", "differs"),
    [
        pytest.param(checkpoint_settings(2, total_steps=8), 8, False, id="same steps"),
        pytest.param(checkpoint_settings(2, total_steps=8), 16, True, id="same epochs, other steps"),
        pytest.param(checkpoint_settings(4, total_steps=8), 8, False, id="same steps, other epochs"),
        pytest.param(checkpoint_settings(2), 8, False, id="older checkpoint"),
        pytest.param(checkpoint_settings(4), 8, True, id="older checkpoint, other epochs"),
        pytest.param(checkpoint_settings(4, total_steps=8), None, False, id="no fixed length"),
        pytest.param(checkpoint_settings(4, total_steps=None), 8, True, id="no fixed length before"),
    ],
)
def test_length_is_compared_by_optimizer_steps(before: dict[str, Any], total: int | None, differs: bool) -> None:
    assert length_differs(before, checkpoint_settings(2), total) is differs
