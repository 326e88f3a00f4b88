"""The most probable words of a step: the kernel equals torch's operations."""

import math

import pytest
import torch
from torch import Tensor

from sluice.decoding.best_words import best_words

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
NATIVE = pytest.mark.parametrize("native", ["1", "0"], ids=["kernel", "torch"])


def logits(dtype: torch.dtype, words: int = 300) -> Tensor:
    """Distinct random logits, two of which are excluded."""
    made = 3 * torch.randn(7, words, dtype=dtype, generator=torch.Generator().manual_seed(1))
    return made.index_fill(1, torch.tensor([1, words - 1]), -math.inf)


@DTYPES
@NATIVE
@pytest.mark.parametrize("count", [1, 5, 300])
def test_words_and_log_probabilities(
    count: int, native: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_NATIVE", native)
    found, words = best_words(logits(dtype), count, torch.zeros(7, dtype=torch.bool), 3)
    expected, ranked = logits(dtype).log_softmax(-1).topk(count)
    torch.testing.assert_close(found, expected)
    possible = expected > -math.inf
    assert torch.equal(words[possible], ranked[possible])


@NATIVE
def test_rows_at_their_maximum_length_end(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_NATIVE", native)
    ending = torch.tensor([False, True, False, False, False, False, True])
    found, words = best_words(logits(torch.float32), 3, ending, 4)
    free, free_words = best_words(logits(torch.float32), 3, torch.zeros(7, dtype=torch.bool), 4)
    assert words[ending, 0].tolist() == [4, 4]
    torch.testing.assert_close(found[ending, 0], logits(torch.float32).log_softmax(-1)[ending, 4])
    assert found[ending, 1:].eq(-math.inf).all()
    assert torch.equal(found[~ending], free[~ending])
    assert torch.equal(words[~ending], free_words[~ending])


def test_half_precision_is_computed_in_single() -> None:
    rows = logits(torch.float32).bfloat16()
    found, _ = best_words(rows, 2, torch.zeros(7, dtype=torch.bool), 3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, rows.float().log_softmax(-1).topk(2).values)
