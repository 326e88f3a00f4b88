"""Batches of the examples that a trained model is evaluated on."""

import numpy as np
import pytest

from sluice.data import samplers
from sluice.runs.evaluation import bucketed_loader


@pytest.mark.parametrize(("max_tokens", "sizes"), [(None, [3, 2]), (8, [1, 1, 2, 1]), (3, [1, 1, 1, 1, 1])])
def test_batches_have_as_many_tokens_as_those_of_training(
    monkeypatch: pytest.MonkeyPatch, max_tokens: int | None, sizes: list[int]
) -> None:
    monkeypatch.setattr(samplers, "EVALUATION_TOKENS", 1)
    lengths = np.array([4, 6, 3, 4, 5])
    batches = bucketed_loader(lengths, list, batch_size=4, max_tokens=max_tokens)  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == sizes  # type: ignore[arg-type]


def test_a_long_example_is_not_padded_with_many_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "EVALUATION_TOKENS", 40)
    lengths = np.array([3] * 30 + [1000])
    batches = bucketed_loader(lengths, list, batch_size=8)  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == [1, 30]  # type: ignore[arg-type]
