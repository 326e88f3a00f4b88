"""The chunked output loss equals torch's cross-entropy in values and gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sluice.layers import output_loss as module
from sluice.layers.output_loss import linear_cross_entropy

WORDS, SIZE = 11, 4


def random_inputs(rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(rows)
    features, weight, bias = (
        torch.randn(*shape, generator=draw, dtype=dtype).requires_grad_()
        for shape in ((rows, SIZE), (WORDS, SIZE), (WORDS,))
    )
    return features, weight, bias, torch.randint(WORDS, (rows,), generator=draw)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("rows", [1, 3, 7, 20])
def test_equals_torch_cross_entropy(monkeypatch: pytest.MonkeyPatch, rows: int, smoothing: float) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    features, weight, bias, targets = random_inputs(rows)
    logits = F.linear(features, weight, bias)
    expected = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    made = linear_cross_entropy(features, weight, bias, targets, smoothing=smoothing)
    assert torch.allclose(made.smoothed, expected)
    assert torch.allclose(made.plain, F.cross_entropy(logits, targets, reduction="sum"))
    assert made.correct == (logits.argmax(-1) == targets).sum()
    parameters = [features, weight, bias]
    for mine, theirs in zip(
        torch.autograd.grad(2.5 * made.smoothed, parameters),
        torch.autograd.grad(2.5 * expected, parameters),
        strict=True,
    ):
        assert torch.allclose(mine, theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("excluded", [(1,), (1, 2), (WORDS - 1,)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_excluded_words_are_not_in_the_softmax(
    monkeypatch: pytest.MonkeyPatch, smoothing: float, excluded: tuple[int, ...], biased: bool
) -> None:
    """The loss equals torch's over a vocabulary without these words, one row of weights fewer for each."""
    monkeypatch.setattr(module, "CHUNK", 3)
    features, weight, bias, _ = random_inputs(20)
    kept = [word for word in range(WORDS) if word not in excluded]
    ranks = torch.arange(20) % len(kept)
    logits = F.linear(features, weight[kept], bias[kept] if biased else None)
    expected = F.cross_entropy(logits, ranks, reduction="sum", label_smoothing=smoothing)
    made = linear_cross_entropy(
        features, weight, bias if biased else None, torch.tensor(kept)[ranks], smoothing=smoothing, excluded=excluded
    )
    torch.testing.assert_close(made.smoothed, expected)
    torch.testing.assert_close(made.plain, F.cross_entropy(logits, ranks, reduction="sum").detach())
    assert made.correct == (logits.argmax(-1) == ranks).sum()
    parameters = [features, weight, bias] if biased else [features, weight]
    found = torch.autograd.grad(made.smoothed, parameters)
    torch.testing.assert_close(found, torch.autograd.grad(expected, parameters))
    assert not found[1][list(excluded)].any()


def test_equals_torch_in_float32_without_bias() -> None:
    features, weight, _, targets = random_inputs(700, torch.float32)
    made = linear_cross_entropy(features, weight, None, targets, smoothing=0.1)
    expected = F.cross_entropy(F.linear(features, weight), targets, reduction="sum", label_smoothing=0.1)
    assert torch.allclose(made.smoothed, expected, rtol=1e-5)
    for mine, theirs in zip(
        torch.autograd.grad(made.smoothed, [features, weight]),
        torch.autograd.grad(expected, [features, weight]),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-4)


def test_only_inputs_that_require_grad_get_gradients() -> None:
    features, weight, bias, targets = random_inputs(5)
    linear_cross_entropy(features.detach(), weight, bias.detach(), targets).smoothed.backward()
    assert features.grad is None
    assert weight.grad is not None
    with torch.no_grad():
        assert not linear_cross_entropy(features, weight, bias, targets).smoothed.requires_grad


def test_plain_loss_has_no_gradient() -> None:
    made = linear_cross_entropy(*random_inputs(5))
    assert not made.plain.requires_grad
    assert not made.correct.requires_grad


def test_autocast_loss_is_close_to_float32() -> None:
    features, weight, bias, targets = random_inputs(5, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = linear_cross_entropy(features, weight, bias, targets, smoothing=0.1)
    expected = linear_cross_entropy(features, weight, bias, targets, smoothing=0.1)
    assert torch.allclose(made.smoothed, expected.smoothed, rtol=0.05)
    made.smoothed.backward()
    assert weight.grad is not None


def test_invalid_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 1\), got 1"):
        linear_cross_entropy(*random_inputs(2), smoothing=1.0)
