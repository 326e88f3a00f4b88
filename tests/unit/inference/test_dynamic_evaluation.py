"""Dynamic evaluation: the update of the paper, and weights restored at the end."""

import pytest
import torch
from torch import Tensor

from sluice.inference.dynamic_evaluation import DynamicEvaluation


def weights() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, generator=draw).requires_grad_(), torch.randn(5, generator=draw).requires_grad_()]


def set_gradients(parameters: list[Tensor], seed: int) -> list[Tensor]:
    """Sets a random gradient for every parameter."""
    draw = torch.Generator().manual_seed(seed)
    gradients = [torch.randn(parameter.shape, generator=draw) for parameter in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    return gradients


def test_update_matches_the_paper() -> None:
    """θ − η · g / (RMS + ε) + min(λ · RMS / mean RMS, 1) · (θ_0 − θ), the mean over the means of the tensors."""
    draw = torch.Generator().manual_seed(2)
    parameters, squares = weights(), [torch.rand(4, 3, generator=draw) + 0.1, 9 * torch.rand(5, generator=draw) + 4]
    trained = [parameter.detach().clone() for parameter in parameters]
    dynamic = DynamicEvaluation(parameters, squares, learning_rate=0.3, decay=0.8, epsilon=0.02)
    roots = [square.sqrt() for square in squares]
    mean = (roots[0].mean() + roots[1].mean()) / 2
    expected = [tensor.clone() for tensor in trained]
    for step in range(3):
        gradients = set_gradients(parameters, seed=step)
        dynamic.step()
        for index, (gradient, root) in enumerate(zip(gradients, roots, strict=True)):
            pull = (0.8 * root / mean).clamp_max(1.0)
            expected[index] += pull * (trained[index] - expected[index]) - 0.3 * gradient / (root + 0.02)
    for parameter, theirs in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), theirs, rtol=1e-4, atol=1e-5)
        assert parameter.grad is None
    assert max(float((0.8 * root / mean).max()) for root in roots) > 1, "some decay rates are clamped"


def test_without_gradients_weights_only_decay() -> None:
    parameters = weights()
    squares, options = [torch.ones(4, 3), torch.ones(5)], {"learning_rate": 0.3, "decay": 0.25, "epsilon": 1e-5}
    dynamic = DynamicEvaluation(parameters, squares, **options)
    with torch.no_grad():
        parameters[0].add_(1.0)
    dynamic.step()
    torch.testing.assert_close(parameters[0].detach(), weights()[0].detach() + 0.75)


@pytest.mark.parametrize("breaks", [False, True])
def test_weights_are_restored_exactly(breaks: bool) -> None:
    parameters = weights()
    before = [parameter.detach().clone() for parameter in parameters]
    squares, options = [torch.ones(4, 3), torch.ones(5)], {"learning_rate": 0.3, "decay": 0.01, "epsilon": 1e-5}
    dynamic = DynamicEvaluation(parameters, squares, **options)
    try:
        with dynamic.restore_on_exit():
            for step in range(5):
                set_gradients(parameters, seed=step)
                dynamic.step()
            assert not torch.equal(parameters[0], before[0])
            set_gradients(parameters, seed=9)
            if breaks:
                raise RuntimeError("the text broke off")
    except RuntimeError:
        assert breaks
    assert all(torch.equal(parameter, own) for parameter, own in zip(parameters, before, strict=True))
    assert all(parameter.grad is None for parameter in parameters)


def test_epsilon_bounds_the_step_of_a_weight_without_statistics() -> None:
    parameters = weights()
    squares, options = [torch.zeros(4, 3), torch.ones(5)], {"learning_rate": 1e-4, "decay": 0.5, "epsilon": 2e-3}
    dynamic = DynamicEvaluation(parameters, squares, **options)
    before = parameters[0].detach().clone()
    gradient = set_gradients(parameters, seed=1)[0]
    dynamic.step()
    torch.testing.assert_close(parameters[0].detach(), before - 0.05 * gradient)


def test_missing_mean_squares_are_refused() -> None:
    with pytest.raises(ValueError, match="2 parameters need 2 mean squares, got 1"):
        DynamicEvaluation(weights(), [torch.ones(4, 3)], learning_rate=0.1, decay=0.1, epsilon=0.1)
