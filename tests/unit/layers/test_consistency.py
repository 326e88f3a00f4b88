"""Tests of the divergence of R-Drop."""

import pytest
import torch
from torch.nn import functional as F

from sluice.layers.consistency import symmetric_divergence


def expected_divergence(features, weight, bias, excluded):
    """KL(p ‖ q) + KL(q ‖ p) by torch, over the words that are not excluded."""
    kept = [word for word in range(len(weight)) if word not in excluded]
    p, q = F.linear(features, weight, bias)[:, kept].log_softmax(-1).chunk(2)
    return F.kl_div(q, p, log_target=True, reduction="sum") + F.kl_div(p, q, log_target=True, reduction="sum")


@pytest.mark.parametrize("excluded", [(), (1, 4)], ids=["all-words", "excluded-words"])
@pytest.mark.parametrize("words", [1, 5, 300])
def test_value_and_gradients(words, excluded):
    generator = torch.Generator().manual_seed(words)
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for size in ((2 * words, 6), (40, 6), (40,))]
    ours, theirs = ([part.clone().requires_grad_() for part in drawn] for _ in range(2))
    found = symmetric_divergence(*ours, excluded=excluded)
    expected = expected_divergence(*theirs, excluded)
    (3 * found).backward()
    (3 * expected).backward()
    torch.testing.assert_close(found, expected)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad)


def test_equal_predictions_do_not_diverge():
    features = torch.randn(4, 6).repeat(2, 1).requires_grad_()
    divergence = symmetric_divergence(features, torch.randn(9, 6), torch.zeros(9))
    divergence.backward()
    assert divergence == 0
    assert not features.grad.any()


def test_under_autocast_it_is_close_to_single_precision():
    features, weight, bias = torch.randn(20, 32, requires_grad=True), torch.randn(50, 32) / 4, torch.randn(50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = symmetric_divergence(features, weight, bias)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected_divergence(features, weight, bias, ()), rtol=0.03, atol=0)


def test_differentiating_twice_is_refused():
    features = torch.randn(2, 3, requires_grad=True)
    divergence = symmetric_divergence(features, torch.randn(4, 3), torch.zeros(4))
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        torch.autograd.grad(divergence, features, create_graph=True)
