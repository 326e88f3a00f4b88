"""Tests of the loss of R-Drop."""

import pytest
import torch
from torch.nn import functional as F

from sluice.layers.r_drop import divergence_into_gradient, r_drop_cross_entropy


def expected_loss(features, weight, bias, targets, *, excluded=(), alpha=0.0, smoothing=0.0):
    """The sums of the loss, the plain cross-entropy and the divergence by torch, over the words not excluded."""
    kept = [word for word in range(len(weight)) if word not in excluded]
    logits = F.linear(features, weight, bias)[:, kept]
    places = torch.tensor([kept.index(word) for word in targets.repeat(2).tolist()])
    p, q = logits.log_softmax(-1).chunk(2)
    divergence = F.kl_div(q, p, log_target=True, reduction="sum") + F.kl_div(p, q, log_target=True, reduction="sum")
    smoothed, plain = (F.cross_entropy(logits, places, reduction="sum", label_smoothing=e) for e in (smoothing, 0.0))
    return smoothed + alpha / 2 * divergence, plain, divergence


def drawn(words, size=6, vocab=40, dtype=torch.float64):
    generator = torch.Generator().manual_seed(words)
    sizes = ((2 * words, size), (vocab, size), (vocab,))
    targets = torch.randint(5, vocab, (words,), generator=generator)
    return [torch.randn(each, generator=generator, dtype=dtype) for each in sizes], targets


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("excluded", [(), (1, 4)], ids=["all-words", "excluded-words"])
@pytest.mark.parametrize("words", [1, 5, 300])
def test_values_and_gradients(words, excluded, smoothing):
    inputs, targets = drawn(words)
    ours, theirs = ([part.clone().requires_grad_() for part in inputs] for _ in range(2))
    options = {"alpha": 3.0, "smoothing": smoothing, "excluded": excluded}
    found = r_drop_cross_entropy(*ours, targets, scale=0.5, **options)
    loss, plain, divergence = expected_loss(*theirs, targets, **options)
    (3 * found.smoothed).backward()
    (1.5 * loss).backward()
    torch.testing.assert_close((found.smoothed, found.plain, found.divergence), (loss / 2, plain, divergence))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad)


def test_correct_predictions_of_both_are_counted():
    features, weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), torch.eye(2)
    loss = r_drop_cross_entropy(features, weight, torch.zeros(2), torch.tensor([0, 1]), alpha=1.0)
    assert loss.correct == 3


def test_equal_predictions_do_not_diverge():
    logits = torch.randn(4, 9).repeat(2, 1)
    assert divergence_into_gradient(logits) == 0
    assert not logits.any()


def test_no_gradient_is_computed_for_frozen_weights():
    (features, weight, bias), targets = drawn(5)
    features.requires_grad_()
    r_drop_cross_entropy(features, weight, bias, targets, alpha=1.0).smoothed.backward()
    assert features.grad is not None
    with torch.no_grad():
        assert not r_drop_cross_entropy(features, weight, bias, targets, alpha=1.0).smoothed.requires_grad


def test_under_autocast_it_is_close_to_single_precision():
    inputs, targets = drawn(20, size=32, vocab=60, dtype=torch.float32)
    inputs[1] /= 4
    ours, theirs = ([part.clone().requires_grad_() for part in inputs] for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = r_drop_cross_entropy(*ours, targets, alpha=3.0)
    loss, *_ = expected_loss(*theirs, targets, alpha=3.0)
    found.smoothed.backward()
    loss.backward()
    assert found.smoothed.dtype == torch.float32
    torch.testing.assert_close(found.smoothed, loss, rtol=0.03, atol=0)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.grad - their.grad).norm() < 0.03 * their.grad.norm()


def test_invalid_arguments():
    (features, weight, bias), targets = drawn(5)
    with pytest.raises(ValueError, match="two predictions of each word, got 9 of 5 words"):
        r_drop_cross_entropy(features[1:], weight, bias, targets, alpha=1.0)
    with pytest.raises(ValueError, match="label_smoothing must lie in"):
        r_drop_cross_entropy(features, weight, bias, targets, alpha=1.0, smoothing=1.0)
