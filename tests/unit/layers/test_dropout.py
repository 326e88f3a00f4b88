"""Variational dropout: one mask per sequence."""

import pytest
import torch

from sluice.layers.dropout import VariationalDropout

torch.set_num_threads(1)  # these tensors are tiny: threads only wait for each other


def test_mask_is_constant_over_steps() -> None:
    torch.manual_seed(0)
    inputs = torch.rand(8, 5, 100) + 0.5
    mask = VariationalDropout(0.25).train()(inputs) / inputs
    torch.testing.assert_close(mask, mask[:, :1].expand_as(mask))
    kept = mask[mask != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.75))
    assert abs((mask[:, 0] == 0).float().mean() - 0.25) < 0.06


def test_each_sequence_and_each_call_has_its_own_mask() -> None:
    inputs, dropout = torch.ones(2, 3, 200), VariationalDropout(0.5).train()
    first, second = dropout(inputs), dropout(inputs)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_gradients_pass_through_the_mask() -> None:
    inputs = torch.ones(2, 3, 50, requires_grad=True)
    outputs = VariationalDropout(0.5).train()(inputs)
    outputs.sum().backward()
    assert torch.equal(inputs.grad, outputs)  # for inputs of ones, the output is the mask


def test_nothing_is_dropped_in_evaluation_or_at_zero() -> None:
    inputs = torch.randn(2, 3, 50)
    assert torch.equal(VariationalDropout(0.5).eval()(inputs), inputs)
    assert torch.equal(VariationalDropout(0.0).train()(inputs), inputs)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_invalid_probability_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=rf"\[0, 1\).*{p}"):
        VariationalDropout(p)
