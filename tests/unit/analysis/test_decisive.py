"""Effects of symbols on the answer of constructed classifiers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sluice.analysis.decisive import MAX_DECISIVE, MAX_LENGTH, decisive_symbols, symbol_effects

WEIGHTS = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 6.0], [0.0, 3.0]])
"""Logits of two classes to which each symbol contributes; symbols 3 and 4 decide."""


def bag(ids: Tensor) -> Tensor:
    return WEIGHTS[ids].sum(1)


@pytest.mark.parametrize("length", [6, 90, 500])
def test_effects_are_the_changes_of_the_log_odds(length: int) -> None:
    """With any number of replacements: fewer of a long text."""
    ids = torch.arange(length) % 3
    ids[1], ids[4] = 3, 4
    effects = symbol_effects(bag, ids)
    assert effects is not None
    expected = np.zeros(length)
    expected[[1, 4]] = 6, 3
    np.testing.assert_allclose(effects.clip(0), expected, atol=1e-5)
    assert decisive_symbols(effects) == [1, 4]


def test_effects_do_not_vanish_if_the_model_is_certain() -> None:
    effects = symbol_effects(lambda ids: 100 * bag(ids).double(), torch.tensor([0, 1, 3, 2]))
    assert effects is not None
    assert effects[2] == pytest.approx(600)


@pytest.mark.parametrize("ids", [[1, 1, 1], [2], [0, 1] * (MAX_LENGTH // 2 + 1)], ids=["equal", "single", "too long"])
def test_texts_without_effects(ids: list[int]) -> None:
    assert symbol_effects(bag, torch.tensor(ids)) is None
    assert decisive_symbols(None) == []


@pytest.mark.parametrize(
    ("effects", "expected"),
    [([0.1, 3, -4, 1, 0.9], [1, 3]), ([0, 0], []), ([-1, -2], []), ([1] * 20, list(range(MAX_DECISIVE)))],
)
def test_decisive_symbols_have_a_third_of_the_largest_effect(effects: list[float], expected: list[int]) -> None:
    assert decisive_symbols(np.array(effects, dtype=np.float32)) == expected
